"""Lengths and directions of edges, and their derivatives."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.graph.geometry import EdgeGeometry


def polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    every = torch.arange(len(vectors))
    graph = SimpleNamespace(edge_index=torch.stack([every, every]), edge_slot=torch.zeros_like(every), max_degree=1)
    geometry = EdgeGeometry.from_vectors(
        vectors, graph, torch.zeros_like(every), 5.0, torch.full((1, 1), 5.0, dtype=torch.float64)
    )
    return geometry.distances, geometry.units


def test_lengths_and_directions_with_first_and_second_derivatives():
    vectors = torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    lengths, units = polar(vectors)
    torch.testing.assert_close(lengths * units, vectors)
    torch.testing.assert_close(units.square().sum(1), torch.ones(6, dtype=torch.float64))
    assert gradcheck(polar, vectors)
    assert gradgradcheck(polar, vectors)


def test_a_length_alone_has_a_derivative():
    vectors = torch.tensor([[3.0, 0.0, 4.0]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(polar(vectors)[0].sum(), vectors)
    torch.testing.assert_close(slope, torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64))
