"""Products of all pairs of components, x_a x_b with a <= b, in a form whose derivatives of every order are as cheap.

The products are quadratic in x, so their first derivative is a symmetric matrix (the gradient, packed) times x, which
is linear in both: with the polar form of the products, they are closed under differentiation. Differentiating slices
would fill and add a full tensor for every slice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def pair_products(x: Tensor) -> Tensor:
    """x [C, n, N] -> [C, n (n + 1) / 2, N], ordered as torch.triu_indices(n, n)."""
    return _Products.apply(x)


def _rows(n: int) -> Iterator[tuple[int, slice]]:
    """For every a: where the products x_a x_b with b = a .. n - 1 lie."""
    ends = list(itertools.accumulate(range(n, 0, -1), initial=0))
    return ((a, slice(ends[a], ends[a + 1])) for a in range(n))


class _Products(torch.autograd.Function):
    """x_a x_b for a <= b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        n = x.shape[1]
        out = x.new_empty(x.shape[0], n * (n + 1) // 2, x.shape[2])
        for a, row in _rows(n):
            torch.mul(x[:, a : a + 1], x[:, a:], out=out[:, row])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _SymmetricProduct.apply(gradient, *ctx.saved_tensors)


class _SymmetricProduct(torch.autograd.Function):
    """y_a = sum_b (1 + delta_ab) g_ab x_b, g symmetric and packed: the derivative of sum g_ab x_a x_b."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(packed, x)
        out = torch.zeros_like(x)
        for a, row in _rows(x.shape[1]):
            block = packed[:, row]
            out[:, a:].addcmul_(block, x[:, a : a + 1])
            out[:, a].add_((block * x[:, a:]).sum(1))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        packed, x = ctx.saved_tensors
        return (
            _PolarProducts.apply(gradient, x) if ctx.needs_input_grad[0] else None,
            _SymmetricProduct.apply(packed, gradient) if ctx.needs_input_grad[1] else None,
        )


class _PolarProducts(torch.autograd.Function):
    """x_a y_b + y_a x_b for a <= b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        n = x.shape[1]
        out = x.new_empty(x.shape[0], n * (n + 1) // 2, x.shape[2])
        for a, row in _rows(n):
            torch.mul(x[:, a : a + 1], y[:, a:], out=out[:, row])
            out[:, row].addcmul_(y[:, a : a + 1], x[:, a:])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, y = ctx.saved_tensors
        return (
            _SymmetricProduct.apply(gradient, y) if ctx.needs_input_grad[0] else None,
            _SymmetricProduct.apply(gradient, x) if ctx.needs_input_grad[1] else None,
        )
