"""Values of pairs of atoms for both their edges, on the padded layout and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry


def with_null_pair(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Radial features of pairs and of none, zero: [P, F] -> [P + 1, F], or as they are where no place is free.

    The free places of the padded layout refer to the last row, and radial networks without bias keep it zero.
    """
    return values if geometry.dense else torch.cat([values, values.new_zeros(1, values.shape[1])])


def to_edges(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Values of pairs for both their edges: [P, F] -> [E, F]."""
    return values.index_select(0, geometry.edge_pair)


def on_slots(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Values of pairs (see ``with_null_pair``) on the padded layout: [P, F] -> [N, K, F]."""
    (padded,) = spread_pairs(values, [values.shape[1]], geometry)
    return padded.view(geometry.n_atoms, geometry.max_degree, values.shape[1])


def spread_pairs(values: Tensor, widths: Sequence[int], geometry: EdgeGeometry) -> tuple[Tensor, ...]:
    """Columns of values of pairs (see ``with_null_pair``) on the padded layout: [P, F] -> [N K, width] each."""
    return _Spread.apply(geometry, widths, values)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, geometry: EdgeGeometry, widths: Sequence[int], values: Tensor) -> tuple[Tensor, ...]:
        ctx.geometry, ctx.widths = geometry, widths
        return tuple(block.index_select(0, geometry.padded_pair) for block in values.split(widths, dim=1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, _Folded.apply(ctx.geometry, ctx.widths, *gradients)


class _Folded(torch.autograd.Function):
    """The transpose: sums over both edges of a pair, [N K, width] each -> [P, F]; the row of none is of no account."""

    @staticmethod
    def forward(ctx: Any, geometry: EdgeGeometry, widths: Sequence[int], *blocks: Tensor) -> Tensor:
        ctx.geometry, ctx.widths = geometry, widths
        n_pairs = geometry.pair_edge.shape[0]
        size = (n_pairs if geometry.dense else n_pairs + 1, sum(widths))
        if geometry.pair_slots is None:
            out = blocks[0].new_zeros(size)
            for values, columns in zip(blocks, out.split(widths, dim=1), strict=True):
                columns.index_add_(0, geometry.padded_pair, values)
            return out
        out = blocks[0].new_empty(size)
        out[n_pairs:] = 0.0
        for values, columns in zip(blocks, out.split(widths, dim=1), strict=True):
            # two gathers take a third of the time of adding up
            there, back = (values.index_select(0, slots) for slots in geometry.pair_slots)
            torch.add(there, back, out=columns[:n_pairs])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_Spread.apply(ctx.geometry, ctx.widths, gradient)
