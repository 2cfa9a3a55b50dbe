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
) -> tuple[list[Tensor], Tensor | None]:
    """hidden [R, H] times matrix [H, sum(widths)], cut into blocks [R, width]; the head makes the first ``n_scalar``.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others. With them comes the
    gate [N, K, 1] (padded) on the messages that they weight, or None. It is left to the backbone, since one number per
    edge costs less on harmonics or sums than on every weight.
    """
    scalar, other = list(widths[:n_scalar]), list(widths[n_scalar:])
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    made = head.edge_weights(layer, hidden, scalar_columns, context)
    rest = (hidden @ other_columns).split(other, dim=1) if other else ()
    return [*made.split(scalar, dim=1), *rest], head.edge_gate(layer, context)


def split_pair_weights(
    hidden: Tensor,
    matrix: Tensor,
    widths: Sequence[int],
    n_scalar: int,
    head: ScalarPathway,
    layer: int,
    context: dict[str, Any],
    geometry: EdgeGeometry,
) -> tuple[list[Tensor], Tensor | None]:
    """The same from hidden features of pairs (see ``with_null_pair``).

    The blocks are on the padded layout [N K, width], zero in its free places.
    """
    blocks, gate = split_edge_weights(hidden, matrix, widths, n_scalar, head, layer, context)
    return [block.index_select(0, geometry.padded_pair) for block in blocks], gate


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
    return values.index_select(0, geometry.padded_pair).view(geometry.n_atoms, geometry.max_degree, values.shape[1])
