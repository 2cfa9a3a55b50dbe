import json

import numpy as np
import pytest
import torch

from scalarpath.core.errors import DataError
from scalarpath.data.statistics import train_statistics
from scalarpath.graph import AtomicGraph


@pytest.fixture
def graphs(make_silicon):
    return [
        AtomicGraph.from_atoms(a, 4.0, energy=a.get_potential_energy(), forces=a.get_forces(), frame=k)
        for k, a in enumerate(make_silicon(4))
    ]


def test_statistics_follow_their_definitions(graphs, make_silicon):
    frames = make_silicon(4)
    statistics = train_statistics(graphs, {14: -5.0})
    forces = np.concatenate([a.get_forces() for a in frames])
    energies = np.array([a.get_potential_energy() for a in frames])
    assert statistics.scale == pytest.approx(np.sqrt(np.mean(forces**2)), rel=1e-14)
    assert statistics.shift == pytest.approx((energies.sum() + 5.0 * 32) / 32, rel=1e-12)
    assert statistics.avg_num_neighbors == pytest.approx(sum(g.edge_index.shape[1] for g in graphs) / 32)
    assert (statistics.species, statistics.frames, statistics.atoms) == ([14], 4, 32)
    assert json.loads(json.dumps(statistics.to_json()))["e0s"] == {"Si": -5.0}


def test_missing_labels_count_for_nothing(graphs):
    full = train_statistics(graphs[1:], {14: -5.0})
    graphs[0].energy = torch.full_like(graphs[0].energy, torch.nan)
    graphs[0].forces = torch.full_like(graphs[0].forces, torch.nan)
    masked = train_statistics(graphs, {14: -5.0})
    assert (masked.scale, masked.shift) == (full.scale, full.shift)
    assert (masked.energies, masked.forces, masked.frames) == (3, 3, 4)


def test_without_forces_the_scale_is_the_spread_of_energies(graphs):
    for graph in graphs:
        graph.forces = torch.full_like(graph.forces, torch.nan)
    per_atom = np.array([float(graph.energy) for graph in graphs]) / 8
    assert train_statistics(graphs, {14: -5.0}).scale == pytest.approx(per_atom.std(), rel=1e-10)


def test_forces_that_the_loss_does_not_weigh_set_no_scale(graphs):
    per_atom = np.array([float(graph.energy) for graph in graphs]) / 8
    for graph in graphs:
        graph.forces = torch.zeros_like(graph.forces)
    assert train_statistics(graphs, {14: -5.0}, {"energy"}).scale == pytest.approx(per_atom.std(), rel=1e-10)


def test_total_energies_of_heavy_molecules_keep_their_digits(graphs):
    for graph, extra in zip(graphs, (0.0, 1e-6, 2e-6, 3e-6), strict=True):
        graph.energy = torch.tensor([-17600.0 * 8 + extra], dtype=torch.float64)
    assert train_statistics(graphs, {14: -17600.0}).shift == pytest.approx(6e-6 / 32, rel=1e-3)


def test_forces_that_are_all_zero_give_no_scale(graphs):
    for graph in graphs:
        graph.forces = torch.zeros_like(graph.forces)
    with pytest.raises(DataError, match="no scale to learn"):
        train_statistics(graphs, {14: -5.0})


def test_atoms_without_any_neighbour_are_refused(make_silicon):
    lonely = [AtomicGraph.from_atoms(a, 1.0, energy=-1.0) for a in make_silicon(2)]
    with pytest.raises(DataError, match="no atom of the train split has a neighbour"):
        train_statistics(lonely, {14: 0.0})


def test_graphs_are_read_once_and_not_kept(graphs):
    """So that the train split need not fit into memory."""
    statistics = train_statistics((graph for graph in graphs), {14: -5.0})  # a generator has no second time
    assert statistics == train_statistics(graphs, {14: -5.0})
