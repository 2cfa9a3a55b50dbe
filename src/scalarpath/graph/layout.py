"""Sums over the neighbours of every atom, in forms that differentiate twice.

Edges are sorted by centre, and every edge knows its running number (slot) within its centre. A weighted sum over
neighbours is then a batched matrix product on a padded [atoms, slots] layout: no message per edge and path is ever
stored, and only operations with a derivative of every order are used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry


def neighbour_sum(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """sum_j values_ij: [E, F] -> [N, F]."""
    zeros = values.new_zeros(geometry.n_atoms, values.shape[1])
    return zeros.index_add(0, geometry.centre, values)


def to_slots(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Edge values on the padded layout, zeros in the free slots: [E, F] -> [N, K, F], K the largest degree."""
    if geometry.dense:
        return values.view(geometry.n_atoms, geometry.max_degree, values.shape[1])
    padded = values.new_zeros(geometry.n_atoms * geometry.max_degree, values.shape[1])
    return padded.index_copy(0, geometry.slot, values).view(geometry.n_atoms, geometry.max_degree, values.shape[1])


def to_planes(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """The same as planes of one number per neighbour, contiguous: [E, F] -> [F, N, K].

    Arithmetic with a few numbers per edge vectorises along K there, and not along F.
    """
    planes = _Transposed.apply(to_slots(values, geometry).flatten(0, 1))
    return planes.view(values.shape[1], geometry.n_atoms, geometry.max_degree)


class _Transposed(torch.autograd.Function):
    """The transpose of a matrix, contiguous, and so is its gradient: gathers of strided rows are slow."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        return matrix.T.contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Transposed.apply(gradient)


def from_slots(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """The values of the edges on the padded layout: [N, K, F] -> [E, F]."""
    flat = values.flatten(0, 1)
    return flat if geometry.dense else flat.index_select(0, geometry.slot)


def outer_neighbour_sum(harmonics: Tensor, values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """sum_j Y_ij (x) values_ij: harmonics [N, K, D] on the padded layout, values [E, F] -> [N, D, F]."""
    return torch.bmm(harmonics.transpose(1, 2), to_slots(values, geometry))
