"""Weights of the edges from hidden radial features: the place where a head reaches the l = 0 paths of a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from scalarpath.heads.interface import ScalarPathway


def edge_weights(
    hidden: Tensor, matrix: Tensor, n_scalar: int, head: ScalarPathway, layer: int, context: dict[str, Any]
) -> tuple[list[Tensor], Tensor | None]:
    """hidden [R, H] times matrix [H, W]: the first ``n_scalar`` columns [R, n_scalar], and the others if there are any.

    Only the columns that end in scalars pass through the head, so that it cannot touch the others. With them comes the
    gate [N, K, 1] (padded) on the messages that they weight, or None. It is left to the backbone, since one number per
    edge costs less on harmonics or sums than on every weight.
    """
    scalar_columns, other_columns = matrix.tensor_split([n_scalar], dim=1)
    blocks = [head.edge_weights(layer, hidden, scalar_columns, context)]
    if other_columns.shape[1]:
        blocks.append(hidden @ other_columns)
    return blocks, head.edge_gate(layer, context)


def split_edge_weights(
    hidden: Tensor,
    matrix: Tensor,
    widths: Sequence[int],
    n_scalar: int,
    head: ScalarPathway,
    layer: int,
    context: dict[str, Any],
) -> tuple[list[Tensor], Tensor | None]:
    """The same cut into blocks [R, width], of which the head makes the first ``n_scalar``."""
    blocks, gate = edge_weights(hidden, matrix, sum(widths[:n_scalar]), head, layer, context)
    cuts = (widths[:n_scalar], widths[n_scalar:])
    return [part for values, cut in zip(blocks, cuts, strict=False) for part in values.split(list(cut), dim=1)], gate
