"""Neighbour lists against ASE's, and the structures that have none."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list

from scalarpath.core.errors import ConfigError, GraphError
from scalarpath.graph import AtomicGraph, collate, neighbour_list, neighbours

SLAB = fcc111("Ag", (2, 2, 2), vacuum=5.0)
TRICLINIC = bulk("Si", a=5.43)
WIRE = Atoms("Li2", [[0, 0, 0], [0.5, 1.8, 1.1]], cell=[0, 0, 2.9], pbc=[False, False, True])


@pytest.mark.parametrize("atoms", [bulk("Ag", cubic=True), SLAB, TRICLINIC, molecule("CH3CH2OH"), WIRE], ids=str)
@pytest.mark.parametrize("cutoff", [2.0, 6.5])
def test_edges_are_those_of_ase(atoms, cutoff):
    atoms = atoms.copy()
    atoms.rattle(0.05, seed=1)
    ours = neighbour_list(atoms, cutoff)
    i, j, shift, distance = neighbor_list("ijSd", atoms, cutoff)
    key = lambda a, b, s: {(int(x), int(y), *map(int, z)) for x, y, z in zip(a, b, s, strict=True)}  # noqa: E731
    assert key(*ours.edge_index, ours.edge_shift) == key(i, j, shift)
    np.testing.assert_allclose(sorted(ours.distance), sorted(distance), rtol=1e-10)


def test_edges_are_sorted_by_centre_and_numbered_within_it():
    atoms = bulk("Si", a=5.43, cubic=True)
    del atoms[0]
    graph = AtomicGraph.from_atoms(atoms, 4.0)
    centre = graph.edge_index[0].numpy()
    assert (np.diff(centre) >= 0).all()
    for i in range(len(atoms)):
        assert graph.edge_slot[centre == i].tolist() == list(range((centre == i).sum()))
    assert collate([graph, graph]).max_degree == np.bincount(centre).max()


def test_vectors_point_from_centre_to_neighbour():
    graph = AtomicGraph.from_atoms(WIRE, 3.5)
    centre, neighbour = graph.edge_index
    vectors = graph.pos[neighbour] - graph.pos[centre] + graph.edge_shift @ graph.cell[0]
    np.testing.assert_allclose(vectors.norm(dim=1), neighbour_list(WIRE, 3.5).distance)


def test_missing_labels_are_nan():
    graph = AtomicGraph.from_atoms(molecule("H2O"), 2.0)
    assert all(bool(label.isnan().all()) for label in (graph.energy, graph.forces, graph.stress))


@pytest.mark.parametrize(
    ("atoms", "complaint"),
    [
        (Atoms("H2", [[0, 0, 0], [0, 0, 0.05]]), "atoms 0 and 1 are 0.05 Å apart"),
        (Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]), "not finite"),
        (Atoms("H", pbc=True), "the cell has no extent"),
        (Atoms("Si2", positions=[[0, 0, 0], [0, 0, 5e5]]), "atom . is 5e\\+05 Å away from others along an axis"),
        (Atoms("Si2", positions=[[0, 0, 0], [0, 0, 1e308]]), "atom 1 lies 1e\\+308 Å from the origin"),
        (Atoms("Si2", positions=[[0, 0, 0], [1e9, 0, 2]], cell=[4, 4, 4], pbc=True), "atom 1 lies 1e\\+09 Å from the"),
        (Atoms("Si2", positions=[[0, 0, 0], [1e5, 0, 2]], cell=[4, 4, 4], pbc=True), "atom 1 lies 25000 cells outside"),
        (Atoms("Si", cell=[2, 2, 6e5], pbc=True), "a cell vector is 6e\\+05 Å long"),
        (Atoms("Si", cell=[4, 4, 0.01], pbc=True), "the cell is only 0.01 Å high along c"),
        (Atoms("Si", cell=[[4, 0, 0], [0, 4, 0], [4, 4, 0.001]], pbc=True), "only [0-9.]+ Å high along ."),
        (Atoms("Si", cell=[[0.2, 0, 0], [0, 0.2, 0], [0, 0, 0.2]], pbc=True), "some 1.41e\\+04 neighbours, more than"),
    ],
)
def test_impossible_structures_are_refused_by_name(atoms, complaint):
    with pytest.raises(GraphError, match=complaint) as error:
        neighbour_list(atoms, 3.0, where="run.xyz, frame 7")
    assert str(error.value).startswith("run.xyz, frame 7: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("atoms", [bulk("Ag", cubic=True), SLAB, TRICLINIC, WIRE, molecule("CH3CH2OH")], ids=str)
def test_edges_that_cannot_be_are_refused_by_an_estimate(atoms, monkeypatch):
    pbc = np.asarray(atoms.pbc)
    counted = len(neighbour_list(atoms, 9.0).distance) / len(atoms)
    expected = neighbours.expected_neighbours(atoms.positions, np.asarray(atoms.cell.complete()), pbc, 9.0)
    assert 0.5 * counted < expected < 2.5 * counted + 2
    if pbc.any():  # the number of atoms bounds the others
        monkeypatch.setattr(neighbours, "MOST_NEIGHBOURS", 100)
        with pytest.raises(GraphError, match=r"within 90 Å an atom has some .* more than 100; lower the cutoff"):
            neighbour_list(atoms, 90.0)
        monkeypatch.setattr(neighbours, "MOST_NEIGHBOURS", 10_000)
    monkeypatch.setattr(neighbours, "memory_of_machine", lambda: 1e4)
    with pytest.raises(GraphError, match=r"edges within 9 Å, more than this machine has memory for"):
        neighbour_list(atoms.repeat([1 + 9 * p for p in pbc]), 9.0)


@pytest.mark.parametrize("cutoff", [1e-300, 0.0, -1.0, 1e6, float("nan"), None])
def test_a_cutoff_that_no_search_ends_with_is_refused(cutoff):
    with pytest.raises(ConfigError, match="cutoff must be"):
        neighbour_list(molecule("H2O"), cutoff)


@pytest.mark.parametrize("cells", [1, 2, 50, 10_000])
@pytest.mark.parametrize("atoms", [bulk("Ag", cubic=True), SLAB, TRICLINIC, WIRE], ids=str)
def test_atoms_moved_by_whole_cells_keep_their_neighbours(atoms, cells):
    atoms = atoms.copy()
    atoms.rattle(0.05, seed=1)
    moved = atoms.copy()
    number = np.array([cells, -cells, cells]) * np.asarray(atoms.pbc)
    moved.positions[1 % len(atoms)] += number @ atoms.cell.array
    here, there = neighbour_list(atoms, 4.0), neighbour_list(moved, 4.0)
    assert np.array_equal(here.edge_index[0], there.edge_index[0])
    for edges in (here, there):
        i, j = edges.edge_index
        source = atoms if edges is here else moved
        vectors = source.positions[j] - source.positions[i] + edges.edge_shift @ source.cell.array
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), edges.distance, rtol=1e-9)
        assert np.array_equal(edges.edge_index[:, edges.edge_reverse], edges.edge_index[::-1])
    np.testing.assert_allclose(np.sort(here.distance), np.sort(there.distance), rtol=1e-9)
