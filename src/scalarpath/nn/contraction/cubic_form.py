"""Cubic polynomials with symmetric coefficients, with first and second derivatives written out.

B_M(A) = sum_a A_a (T1 + T2 A + T3 P)_Ma with P the products of pairs A_b A_d, b <= d. Where T2 and T3 are symmetric in
all their factors, the derivative by A is J = T1 + 2 T2 A + 3 T3 P, which is at hand once B is: no product with the
transposed coefficients, and no derivative of the pairs. Both B and J are linear in the coefficients, whose gradients
are left to autograd: it forms them in the backward pass of a loss, and not in the one that gives the forces.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def cubic_form(a: Tensor, t1: Tensor, t2: Tensor, t3: Tensor) -> Tensor:
    """B_M(A) for every channel: A [C, n, N], T1 [C, M n, 1], T2 [C, M n, n], T3 [C, M n, pairs] -> [C, M, N].

    T2 and T3 belong to tensors that are symmetric in their two or three factors of n; T3 counts a pair b < d twice. The
    gradients by T1, T2 and T3 are right within the symmetric tensors, and cannot be differentiated again.
    """
    fixed = a.detach()
    t1, t2, t3 = _Coefficients.apply(t1, t2, t3)
    quadratic, cubic = torch.bmm(t2, fixed), torch.bmm(t3, _products(fixed))  # [C, M n, N]
    value = _over_a(quadratic + cubic + t1, fixed)
    jacobian = torch.add(t1, quadratic, alpha=2.0).add(cubic, alpha=3.0)
    return _Cubic.apply(a, value, jacobian, t2.detach(), t3.detach())


def _products(x: Tensor, y: Tensor | None = None) -> Tensor:
    """x_a x_b, or x_a y_b + y_a x_b, for a <= b, ordered as torch.triu_indices: [C, n, N] -> [C, n (n + 1) / 2, N]."""
    n = x.shape[1]
    out = x.new_empty(x.shape[0], n * (n + 1) // 2, x.shape[2])
    ends = list(itertools.accumulate(range(n, 0, -1), initial=0))
    for i, (start, end) in enumerate(itertools.pairwise(ends)):
        row = out[:, start:end]
        torch.mul(x[:, i : i + 1], (x if y is None else y)[:, i:], out=row)
        if y is not None:
            row.addcmul_(y[:, i : i + 1], x[:, i:])
    return out


def _outer(g: Tensor, a: Tensor) -> Tensor:
    """g_M a_a: [C, M, N], [C, n, N] -> [C, M n, N]."""
    return (g[:, :, None] * a[:, None]).flatten(1, 2)


def _over_a(q: Tensor, a: Tensor) -> Tensor:
    """sum_a q_Ma a_a: [C, M n, N], [C, n, N] -> [C, M, N]."""
    return (q.unflatten(1, (-1, a.shape[1])) * a[:, None]).sum(2)


def _over_m(g: Tensor, q: Tensor) -> Tensor:
    """sum_M g_M q_Ma: [C, M, N], [C, M n, N] -> [C, n, N]."""
    spread = q.unflatten(1, (g.shape[1], -1))
    return (g[:, :, None] * spread).sum(1) if g.shape[1] > 1 else g * spread.squeeze(1)


class _Cubic(torch.autograd.Function):
    """The value, which as a function of A has the Jacobian."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, value: Tensor, jacobian: Tensor, t2: Tensor, t3: Tensor) -> Tensor:
        ctx.save_for_backward(a, jacobian, t2, t3)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _Gradient.apply(gradient, *ctx.saved_tensors), gradient, None, None, None


class _Gradient(torch.autograd.Function):
    """sum_M g_M J_Ma."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, a: Tensor, jacobian: Tensor, t2: Tensor, t3: Tensor) -> Tensor:
        ctx.save_for_backward(g, a, jacobian, t2, t3)
        return _over_m(g, jacobian)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        """Derivatives of sum_M,a g_M J_Ma v_a by g, A and J."""
        g, a, jacobian, t2, t3 = ctx.saved_tensors
        change = torch.bmm(t3, _products(a, v)).mul_(3.0).add_(torch.bmm(t2, v), alpha=2.0)  # of J along v [C, M n, N]
        return _over_a(jacobian, v), _over_m(g, change), _outer(g, v), None, None


class _Coefficients(torch.autograd.Function):
    """The coefficients themselves."""

    @staticmethod
    def forward(ctx: Any, *coefficients: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.view_as(t) for t in coefficients)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return _Last.apply(*gradients)


class _Last(torch.autograd.Function):
    """Gradients that do not know how they depend on A, which was held fixed for them."""

    @staticmethod
    def forward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(g.view_as(g) for g in gradients)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor, ...]:
        raise NotImplementedError("gradients by the weights of a symmetric contraction cannot be differentiated")
