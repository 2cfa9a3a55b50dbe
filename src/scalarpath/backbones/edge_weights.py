"""Weights of the edges from hidden radial features: the place where a head reaches the l = 0 paths of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from scalarpath.heads.scalar_pathway import ScalarPathway


def split_edge_weights(
    hidden: Tensor,
    matrix: Tensor,
    widths: Sequence[int],
    n_scalar: int,
    head: ScalarPathway,
    layer: int,
    context: dict[str, Any],
) -> list[Tensor]:
    """hidden [E, H] times matrix [H, sum(widths)], cut into blocks [E, width]; the head makes the first ``n_scalar``.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others.
    """
    scalar, other = widths[:n_scalar], widths[n_scalar:]
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    made = head.edge_weights(layer, hidden, scalar_columns, context).split(list(scalar), dim=1)
    return [*made, *(hidden @ other_columns).split(list(other), dim=1)] if other else list(made)
