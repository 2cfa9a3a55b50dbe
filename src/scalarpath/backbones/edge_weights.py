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
) -> list[Tensor]:
    """hidden [E, H] times matrix [H, sum(widths)], cut into blocks [E, width]; the head makes the first ``n_scalar``.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others. With ``pairs_of``
    hidden is given for pairs of edges (see ``with_null_pair``), and the blocks are on the padded layout
    [N K, width], zero in its free places.
    """
    scalar, other = list(widths[:n_scalar]), list(widths[n_scalar:])
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    made = head.edge_weights(layer, hidden, scalar_columns, context, pairs_of)
    rest = (hidden @ other_columns).split(other, dim=1) if other else ()
    if pairs_of is not None:
        rest = [block.index_select(0, pairs_of.padded_pair) for block in rest]
    return [*made.split(scalar, dim=1), *rest]


def with_null_pair(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Radial features of pairs and of none, zero: [P, F] -> [P + 1, F], or as they are where no place is free.

    The free places of the padded layout refer to the last row, and radial networks without bias keep it zero.
    """
    return values if geometry.dense else torch.cat([values, values.new_zeros(1, values.shape[1])])
