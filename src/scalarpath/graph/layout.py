"""The layouts of what edges carry, and the ways between them, in forms that differentiate twice.

N atoms, E directed edges sorted by centre, P undirected pairs, K the largest number of neighbours of an atom.

=============  ===========  ==========================================================================================
layout         shape        what it holds
=============  ===========  ==========================================================================================
edge layout    [E, F]       one row per directed edge
pair layout    [P, F]       one row per undirected pair: what i -> j and j -> i have in common
padded layout  [N, K, F]    K slots for every atom, one per neighbour; a slot without a neighbour is an empty slot
=============  ===========  ==========================================================================================

On the padded layout a weighted sum over neighbours is a batched matrix product: no message per edge and path is ever
stored, and only operations with a derivative of every order are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry


def to_padded(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Edge layout to padded layout, zeros in the empty slots: [E, F] -> [N, K, F]."""
    if geometry.dense:
        return values.view(geometry.n_atoms, geometry.max_degree, values.shape[1])
    padded = values.new_zeros(geometry.n_atoms * geometry.max_degree, values.shape[1])
    return padded.index_copy(0, geometry.slot, values).view(geometry.n_atoms, geometry.max_degree, values.shape[1])


def to_padded_features_first(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """The same with the features first, contiguous: [E, F] -> [F, N, K].

    Arithmetic with a few numbers per edge vectorises along K there, and not along F.
    """
    features_first = _Transposed.apply(to_padded(values, geometry).flatten(0, 1))
    return features_first.view(values.shape[1], geometry.n_atoms, geometry.max_degree)


class _Transposed(torch.autograd.Function):
    """The transpose of a matrix, contiguous, and so is its gradient: gathers of strided rows are slow."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        return matrix.T.contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Transposed.apply(gradient)


def from_padded(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Padded layout to edge layout: [N, K, F] -> [E, F]."""
    flat = values.flatten(0, 1)
    return flat if geometry.dense else flat.index_select(0, geometry.slot)


def pairs_to_edges(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Pair layout to edge layout, the same row for both edges of a pair: [P, F] -> [E, F]."""
    return values.index_select(0, geometry.edge_pair)


def with_zero_row(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """The pair layout with one row of zeros at its end, which empty slots read: [P, F] -> [P + 1, F].

    Without empty slots the values are returned as they are. Radial networks have no bias and keep the row zero.
    """
    return values if geometry.dense else torch.cat([values, values.new_zeros(1, values.shape[1])])


def pairs_to_padded(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Pair layout (see ``with_zero_row``) to padded layout: [P + 1, F] -> [N, K, F]."""
    (padded,) = pairs_to_padded_blocks(values, [values.shape[1]], geometry)
    return padded.view(geometry.n_atoms, geometry.max_degree, values.shape[1])


def pairs_to_padded_blocks(values: Tensor, widths: Sequence[int], geometry: EdgeGeometry) -> tuple[Tensor, ...]:
    """The same, the columns cut into blocks of these widths: [P + 1, sum of widths] -> [N K, width] each."""
    return _PairsToPadded.apply(geometry, widths, values)


class _PairsToPadded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, geometry: EdgeGeometry, widths: Sequence[int], values: Tensor) -> tuple[Tensor, ...]:
        ctx.geometry, ctx.widths = geometry, widths
        return tuple(block.index_select(0, geometry.padded_pair) for block in values.split(widths, dim=1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _PairSums.apply(ctx.geometry, ctx.widths, *gradients)


class _PairSums(torch.autograd.Function):
    """The transpose: sums over both edges of a pair, [N K, width] each -> [P + 1, F]; nobody reads the last row."""

    @staticmethod
    def forward(ctx: Any, geometry: EdgeGeometry, widths: Sequence[int], *blocks: Tensor) -> Tensor:
        ctx.geometry, ctx.widths = geometry, widths
        n_pairs = geometry.pair_edge.shape[0]
        size = (n_pairs if geometry.dense else n_pairs + 1, sum(widths))
        if geometry.slots_of_pairs is None:
            out = blocks[0].new_zeros(size)
            for values, columns in zip(blocks, out.split(widths, dim=1), strict=True):
                columns.index_add_(0, geometry.padded_pair, values)
            return out
        out = blocks[0].new_empty(size)
        out[n_pairs:] = 0.0
        for values, columns in zip(blocks, out.split(widths, dim=1), strict=True):
            # two gathers take a third of the time of adding up
            there, back = (values.index_select(0, slots) for slots in geometry.slots_of_pairs)
            torch.add(there, back, out=columns[:n_pairs])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_PairsToPadded.apply(ctx.geometry, ctx.widths, gradient)
