"""From features per degree to one array with channels first, and back, in copies that are fast.

Permuting all three dimensions at once takes up to four times as long as a transpose of a matrix and a copy of whole
rows; and with views for gradients, as autograd makes them, every use of one would be such a copy again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def channels_first(features: Sequence[Tensor]) -> Tensor:
    """Per degree [N, 2l + 1, C] -> [C, n, N], n the components of all degrees."""
    return _ChannelsFirst.apply(*features)


def per_degree(values: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """[C, n, N] -> per degree [N, size, C], contiguous."""
    return _PerDegree.apply(sizes, values)


class _ChannelsFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *features: Tensor) -> Tensor:
        ctx.sizes = [x.shape[1] for x in features]
        rows = torch.cat([x.transpose(0, 1) for x in features])  # [n, N, C]
        return rows.flatten(0, 1).T.contiguous().view(rows.shape[2], *rows.shape[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return _PerDegree.apply(ctx.sizes, gradient)


class _PerDegree(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sizes: Sequence[int], values: Tensor) -> tuple[Tensor, ...]:
        rows = values.flatten(1).T.contiguous().view(*values.shape[1:], values.shape[0])  # [n, N, C]
        return tuple(block.transpose(0, 1).contiguous() for block in rows.split(sizes))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, _ChannelsFirst.apply(*gradients)
