"""Weights of the edges from hidden radial features: the place where a head reaches the l = 0 paths of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.scalar_pathway import ScalarPathway
from scalarpath.nn.neighbour_sum import from_slots, transposed


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
    factor = None if gate is None else from_slots(gate, geometry)
    return _blocks(hidden, matrix, widths, n_scalar, head, layer, context, factor)


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
    blocks = _blocks(hidden, matrix, widths, n_scalar, head, layer, context, None)
    return [block.index_select(0, geometry.padded_pair) for block in blocks], head.edge_gate(layer, context)


def _blocks(
    hidden: Tensor,
    matrix: Tensor,
    widths: Sequence[int],
    n_scalar: int,
    head: ScalarPathway,
    layer: int,
    context: dict[str, Any],
    gate: Tensor | None,
) -> list[Tensor]:
    """The blocks for rows of hidden features, with the gate [rows, 1] on those of the head."""
    scalar, other = list(widths[:n_scalar]), list(widths[n_scalar:])
    scalar_columns, other_columns = matrix.split([sum(scalar), sum(other)], dim=1)
    made = head.edge_weights(layer, hidden, scalar_columns, context, gate)
    rest = (hidden @ other_columns).split(other, dim=1) if other else ()
    return [*made.split(scalar, dim=1), *rest]


def with_null_pair(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Radial features of pairs and of none, zero: [P, F] -> [P + 1, F], or as they are where no place is free.

    The free places of the padded layout refer to the last row, and radial networks without bias keep it zero.
    """
    return values if geometry.dense else torch.cat([values, values.new_zeros(1, values.shape[1])])


def pair_rows(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Values of pairs and of none, zero, for ``split_pair_weights``: [F, P] -> [F, P + 1] (see ``with_null_pair``)."""
    return values if geometry.dense else torch.cat([values, values.new_zeros(values.shape[0], 1)], dim=1)


def edge_rows(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Values of pairs for both their edges, for ``split_edge_weights``: [F, P] -> [F, E]."""
    return transposed(transposed(values).index_select(0, geometry.edge_pair))


def on_slots(values: Tensor, geometry: EdgeGeometry) -> Tensor:
    """Values of pairs (see ``with_null_pair``) on the padded layout: [P, F] -> [N, K, F]."""
    return values.index_select(0, geometry.padded_pair).view(geometry.n_atoms, geometry.max_degree, values.shape[1])
