import torch
from ase import Atoms
from ase.build import bulk

from scalarpath.graph import AtomicGraph, collate
from scalarpath.graph.pairs import undirected_pairs


def _batch():
    # one atom whose neighbours are all images of itself, a crystal of two elements, a molecule, an atom by itself
    compound = bulk("LiF", "rocksalt", a=4.0)
    compound.rattle(0.05, seed=1)
    frames = [bulk("Ag"), compound, Atoms("OH2", [[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]]), Atoms("H", [[0, 0, 0]])]
    return collate([AtomicGraph.from_atoms(atoms, 4.5) for atoms in frames])


def test_every_pair_holds_an_edge_and_its_reverse():
    batch = _batch()
    n_edges = batch.edge_index.shape[1]
    assert batch.pair_edge.shape == (n_edges // 2,)
    assert torch.equal(batch.edge_pair[batch.pair_edge], torch.arange(n_edges // 2))
    assert (torch.bincount(batch.edge_pair) == 2).all()
    other = torch.empty_like(batch.pair_edge)
    rest = torch.ones(n_edges, dtype=torch.bool).index_fill(0, batch.pair_edge, False).nonzero().squeeze(1)
    other[batch.edge_pair[rest]] = rest
    assert torch.equal(batch.edge_index[:, batch.pair_edge], batch.edge_index[:, other].flip(0))
    assert torch.equal(batch.edge_shift[batch.pair_edge], -batch.edge_shift[other])


def test_where_an_edge_lacks_its_reverse_every_edge_is_a_pair():
    batch = _batch()
    pair, edge = undirected_pairs(batch.edge_index[:, 1:], batch.edge_shift[1:])
    assert torch.equal(pair, torch.arange(batch.edge_index.shape[1] - 1))
    assert torch.equal(edge, pair)


def test_a_structure_without_edges_has_no_pairs():
    alone = collate([AtomicGraph.from_atoms(Atoms("H", [[0, 0, 0]]), 4.5)])
    assert alone.edge_pair.shape == alone.pair_edge.shape == (0,)
