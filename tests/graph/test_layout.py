"""Pair layout to padded layout: both edges of a pair read one row, and their gradients meet there."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import bulk
from samples import batch_of, quartz_like, silanol
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import pairs_to_padded, with_zero_row


def geometry_of(*frames: Atoms, paired: bool = True) -> EdgeGeometry:
    batch = batch_of(*frames)
    species = torch.unique(batch.z, return_inverse=True)[1]
    vectors, cutoffs = (
        torch.ones(batch.edge_index.shape[1], 3, dtype=torch.float64),
        torch.full((2, 2), 5.0, dtype=torch.float64),
    )
    return EdgeGeometry.from_vectors(vectors, batch, species, 5.0, None if paired else cutoffs)


CASES = {
    "dense": geometry_of(bulk("Cu", a=3.6)),
    "with empty slots": geometry_of(silanol()),
    "several frames": geometry_of(quartz_like(), silanol()),
    "every edge by itself": geometry_of(silanol(), paired=False),
}


@pytest.mark.parametrize("geometry", CASES.values(), ids=CASES)
def test_both_edges_of_a_pair_read_its_values_and_empty_slots_nothing(geometry):
    n_pairs = len(geometry.pair_edge)
    values = torch.arange(1.0, n_pairs + 1, dtype=torch.float64)[:, None] * torch.tensor([1.0, 10.0]).double()
    flat = pairs_to_padded(with_zero_row(values, geometry), geometry).flatten(0, 1)
    assert torch.equal(flat[geometry.slot], values[geometry.edge_pair])
    empty = torch.ones(len(flat), dtype=torch.bool).index_fill(0, geometry.slot, False)
    assert not flat[empty].any()
    assert geometry.dense == (not empty.any())


@pytest.mark.parametrize("geometry", CASES.values(), ids=CASES)
def test_gradients_of_a_pair_are_those_of_both_edges(geometry):
    size = (len(geometry.pair_edge), 2)
    values = torch.rand(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()

    def padded(x: torch.Tensor) -> torch.Tensor:
        return pairs_to_padded(with_zero_row(x, geometry), geometry).square().flatten(0, 1)

    (gradient,) = torch.autograd.grad(padded(values).sum(), values)
    edges = torch.zeros_like(values).index_add(0, geometry.edge_pair, 2 * values[geometry.edge_pair])
    torch.testing.assert_close(gradient, edges.detach())
    if len(values) < 100:
        assert gradcheck(padded, values)
        assert gradgradcheck(padded, values)


def test_with_one_pair_per_edge_nothing_is_folded():
    assert CASES["every edge by itself"].slots_of_pairs is None
    there, back = CASES["with empty slots"].slots_of_pairs
    both = torch.cat([there, back]).sort().values
    assert torch.equal(both, CASES["with empty slots"].slot)
