"""Weights of the edges from hidden radial features: the place where a head reaches the l = 0 paths of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
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
    geometry: EdgeGeometry,
) -> list[Tensor]:
    """hidden [E, H] times matrix [H, sum(widths)], cut into blocks [E, width]; the head makes the first ``n_scalar``.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others.
    """
    gate = head.edge_gate(layer, context)
    to_edges = lambda values: values.index_select(0, geometry.edge_pair)  # noqa: E731
    return _blocks(hidden, matrix, widths, n_scalar, head, layer, context, to_edges, gate)


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
    """The same from hidden features of pairs (see ``with_null_pair``), and apart from these the gate [N, K, 1].

    The blocks are on the padded layout [N K, width], zero in its free places. Left to the convolution, the gate costs
    less than on every weight; None: there is none.
    """
    with_none = lambda values: with_null_pair(values, geometry)  # noqa: E731
    blocks = _blocks(hidden, matrix, widths, n_scalar, head, layer, context, with_none)
    gate = head.edge_gate(layer, context)
    padded = [block.index_select(0, geometry.padded_pair) for block in blocks]
    return padded, None if gate is None else to_slots(gate, geometry)


def _blocks(
    hidden: Tensor,
    matrix: Tensor,
    widths: Sequence[int],
    n_scalar: int,
    head: ScalarPathway,
    layer: int,
    context: dict[str, Any],
    from_pairs: Callable[[Tensor], Tensor],
    gate: Tensor | None = None,
) -> list[Tensor]:
    """The blocks for the rows of ``hidden``; see ``ScalarPathway.edge_weights`` for ``from_pairs``."""
    scalar, other = list(widths[:n_scalar]), list(widths[n_scalar:])
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    made = head.edge_weights(layer, hidden, scalar_columns, context, from_pairs)
    made = made if gate is None else made * gate
    rest = (hidden @ other_columns).split(other, dim=1) if other else ()
    return [*made.split(scalar, dim=1), *rest]


def with_null_pair(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Radial features of pairs and of none, zero: [P, F] -> [P + 1, F], or as they are where no place is free.

    The free places of the padded layout refer to the last row, and radial networks without bias keep it zero.
    """
    return values if geometry.dense else torch.cat([values, values.new_zeros(1, values.shape[1])])
