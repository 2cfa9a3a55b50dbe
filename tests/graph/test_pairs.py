import pytest
import torch
from ase import Atoms
from ase.build import bulk

from scalarpath.core.errors import GraphError
from scalarpath.graph import AtomicGraph, collate, neighbours


def _batch():
    # one atom whose neighbours are all images of itself, a crystal of two elements, a molecule, an atom by itself
    compound = bulk("LiF", "rocksalt", a=4.0)
    compound.rattle(0.05, seed=1)
    frames = [bulk("Ag"), compound, Atoms("OH2", [[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]]), Atoms("H", [[0, 0, 0]])]
    return collate([AtomicGraph.from_atoms(atoms, 4.5) for atoms in frames])


def test_the_reverse_of_an_edge_runs_back_through_the_same_boundary():
    batch = _batch()
    reverse = batch.edge_reverse
    assert torch.equal(batch.edge_index[:, reverse], batch.edge_index.flip(0))
    assert torch.equal(batch.edge_shift[reverse], -batch.edge_shift)
    assert torch.equal(reverse[reverse], torch.arange(len(reverse)))


def test_every_pair_holds_an_edge_and_its_reverse():
    batch = _batch()
    n_pairs = batch.edge_index.shape[1] // 2
    other = batch.edge_reverse[batch.pair_edge]
    assert torch.equal(batch.edge_pair[batch.pair_edge], torch.arange(n_pairs))
    assert torch.equal(batch.edge_pair[other], torch.arange(n_pairs))
    assert not torch.isin(other, batch.pair_edge).any()


def test_a_structure_without_edges_has_no_pairs():
    alone = collate([AtomicGraph.from_atoms(Atoms("H", [[0, 0, 0]]), 4.5)])
    assert alone.edge_pair.shape == alone.pair_edge.shape == alone.edge_reverse.shape == (0,)


def test_a_search_that_loses_an_edge_is_not_believed(monkeypatch):
    class Search(neighbours.NeighborList):
        def compute(self, **kwargs):
            return [column[1:] for column in super().compute(**kwargs)]

    monkeypatch.setattr(neighbours, "NeighborList", Search)
    with pytest.raises(GraphError, match=r"water: .* without j -> i"):
        neighbours.neighbour_list(Atoms("OH2", [[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]]), 3.0, "water")
