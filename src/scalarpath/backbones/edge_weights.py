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
    pairs_of: EdgeGeometry | None = None,
) -> list[Tensor]:
    """hidden [E, H] times matrix [H, sum(widths)], cut into blocks [E, width]; the head makes the first ``n_scalar``.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others. With ``pairs_of``
    hidden is given for pairs of edges [P, H], and the blocks are on the padded layout [N K, width], with numbers that
    mean nothing in its free places.
    """
    scalar, other = list(widths[:n_scalar]), list(widths[n_scalar:])
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    edge_pair = None if pairs_of is None else pairs_of.edge_pair
    made = head.edge_weights(layer, hidden, scalar_columns, context, edge_pair)
    rest = (hidden @ other_columns).split(other, dim=1) if other else ()
    if pairs_of is None:
        return [*made.split(scalar, dim=1), *rest]
    padded = to_slots(made, pairs_of).flatten(0, 1)
    return [*padded.split(scalar, dim=1), *(block.index_select(0, pairs_of.padded_pair) for block in rest)]
