"""A batch holds what torch-geometric's own joining of graphs gives, and our plain integers and pairs."""

from __future__ import annotations

import torch
from ase.build import bulk, molecule
from torch_geometric.data import Batch

from scalarpath.graph import AtomicGraph, collate


def test_a_batch_is_the_one_of_torch_geometric():
    frames = [molecule("H2O"), bulk("Si") * (2, 1, 1), molecule("CH4")]
    graphs = [AtomicGraph.from_atoms(atoms, 3.0, energy=float(k), frame=k) for k, atoms in enumerate(frames)]
    batch, expected = collate(graphs), Batch.from_data_list(graphs)
    assert isinstance(batch, Batch)
    assert (batch.num_graphs, batch.num_nodes) == (3, 12)
    assert batch.max_degree == int(batch.edge_slot.max()) + 1
    for key in expected.keys():  # noqa: SIM118
        if torch.is_tensor(expected[key]):
            torch.testing.assert_close(batch[key], expected[key], rtol=0, atol=0, equal_nan=True)
    assert batch.to("cpu").num_graphs == 3
