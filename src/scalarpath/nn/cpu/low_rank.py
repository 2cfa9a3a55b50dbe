"""Weights plus a term of low rank, whose gradient is a product that a kernel takes fast."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scalarpath.nn.cpu import library
from scalarpath.nn.cpu.library import address, function


def add_low_rank(weights: Tensor, features: Tensor, matrix: Tensor) -> Tensor:
    """W + b V, in place: W [R, F], b [R, rank], V [rank, F]; differentiates twice."""
    return _Added.apply(weights, features, matrix)


class _Added(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, features: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(features, matrix)
        ctx.mark_dirty(weights)
        return weights.addmm_(features, matrix)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        features, matrix = ctx.saved_tensors
        by_features = _NarrowProduct.apply(gradient, matrix) if ctx.needs_input_grad[1] else None
        return gradient, by_features, features.T @ gradient if ctx.needs_input_grad[2] else None


class _NarrowProduct(torch.autograd.Function):
    """G V^T: [R, F], [rank, F] -> [R, rank]."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(gradient, matrix)
        g, v = gradient.contiguous(), matrix.contiguous()
        (rows, width), rank = g.shape, v.shape[0]
        out = g.new_empty(rows, rank)
        sizes = (ctypes.c_int64(n) for n in (rows, width, rank, library.threads_for(rows)))
        function("narrow_product", g.dtype)(*sizes, address(g), address(v), address(out))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor, Tensor]:
        gradient, matrix = ctx.saved_tensors
        return tangent @ matrix, tangent.T @ gradient
