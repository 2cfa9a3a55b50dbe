"""silu(x) = x sigmoid(x) with its second derivative written out: autograd's takes ten passes over the array."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), elementwise; differentiates twice."""
    return _Silu.apply(x)


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.nn.functional.silu(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Derivative.apply(gradient, *ctx.saved_tensors)


class _Derivative(torch.autograd.Function):
    """g silu'(x)."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(gradient, x)
        return torch.ops.aten.silu_backward(gradient, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor, Tensor]:
        """t silu'(x) and t g silu''(x), with s = sigmoid(x) and silu'' = s (1 - s) (2 + x (1 - 2 s))."""
        gradient, x = ctx.saved_tensors
        s = torch.sigmoid(x)
        curvature = (1.0 - 2.0 * s).mul_(x).add_(2.0).mul_(s).mul_(1.0 - s)
        return torch.ops.aten.silu_backward(tangent, x), curvature.mul_(gradient).mul_(tangent)
