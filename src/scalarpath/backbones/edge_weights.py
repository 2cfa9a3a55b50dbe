"""Weights of the edges from hidden radial features: the place where a head reaches the l = 0 paths of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.scalar_pathway import ScalarPathway


def split_edge_weights(
    hidden: Tensor,
    matrix: Tensor,
    widths: Sequence[int],
    n_scalar: int,
    head: ScalarPathway,
    layer: int,
    context: dict[str, Any],
    pairs_of: EdgeGeometry | None = None,
) -> tuple[list[Tensor], Tensor | None]:
    """hidden [R, H] times matrix [H, sum(widths)], cut into blocks [R, width]; the head makes the first ``n_scalar``.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others. With them comes the
    gate [N, K, 1] (padded) on the messages that they weight, or None. It is left to the backbone, since one number per
    edge costs less on harmonics or sums than on every weight.

    Where the rows belong to the pairs of a geometry (see ``with_null_pair``), the blocks are on the padded layout
    [N K, width], zero in its free places.
    """
    scalar, other = list(widths[:n_scalar]), list(widths[n_scalar:])
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    parts = [(head.edge_weights(layer, hidden, scalar_columns, context), scalar)]
    if other:
        parts.append((hidden @ other_columns, other))
    blocks: list[Tensor] = []
    for values, cut in parts:
        blocks += values.split(cut, dim=1) if pairs_of is None else _Spread.apply(pairs_of, cut, values)
    return blocks, head.edge_gate(layer, context)


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
    (padded,) = _Spread.apply(geometry, [values.shape[1]], values)
    return padded.view(geometry.n_atoms, geometry.max_degree, values.shape[1])


class _Spread(torch.autograd.Function):
    """Columns of values of pairs (see ``with_null_pair``) on the padded layout: [P, F] -> [N K, width] each."""

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
