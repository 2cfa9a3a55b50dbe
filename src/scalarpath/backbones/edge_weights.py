"""Weights of the edges from hidden radial features: the place where a head reaches the l = 0 paths of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.scalar_pathway import ScalarPathway
from scalarpath.nn.neighbour_sum import to_slots


def split_edge_weights(
    hidden: Tensor,
    matrix: Tensor,
    widths: Sequence[int],
    n_scalar: int,
    head: ScalarPathway,
    layer: int,
    context: dict[str, Any],
    padded_for: EdgeGeometry | None = None,
) -> list[Tensor]:
    """hidden [E, H] times matrix [H, sum(widths)], cut into blocks [E, width]; the head makes the first ``n_scalar``.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others. With ``padded_for``
    the blocks are on the padded layout [N K, width], zero in its free places.
    """

    def padded(values: Tensor) -> Tensor:
        return values if padded_for is None else to_slots(values, padded_for).flatten(0, 1)

    scalar, other = list(widths[:n_scalar]), list(widths[n_scalar:])
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    made = padded(head.edge_weights(layer, hidden, scalar_columns, context)).split(scalar, dim=1)
    return [*made, *(padded(hidden) @ other_columns).split(other, dim=1)] if other else list(made)
