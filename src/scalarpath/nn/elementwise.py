"""Elementwise functions with first and second derivatives written out.

Where a function takes several operations, autograd's second derivative takes many times as many, each one a pass over
the array, or, for small arrays, mere overhead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.silu import kernel_silu


class Elementwise(Protocol):
    """A function f and its first two derivatives at x, each times a factor; y = f(x) is given to them."""

    def value(self, x: Tensor) -> Tensor:
        """f(x)."""

    def times_slope(self, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """g f'(x)."""

    def times_curvature(self, u: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """u f''(x)."""


class Silu:
    """x s(x), s = sigmoid; f'' = s (1 - s) (2 + x (1 - 2 s))."""

    def value(self, x: Tensor) -> Tensor:
        """x s(x)."""
        return torch.nn.functional.silu(x)

    def times_slope(self, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """g f'(x)."""
        return torch.ops.aten.silu_backward(gradient, x)

    def times_curvature(self, u: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """u f''(x)."""
        s = torch.sigmoid(x)
        return torch.ops.aten.sigmoid_backward(u, s).mul_(torch.addcmul(x, x, s, value=-2.0).add_(2.0))


@dataclass(frozen=True)
class Envelope:
    """u_p(x) of x = r / cutoff >= 0, zero for x >= 1, C2 there (DimeNet, arXiv:2003.03123, eq. 8).

    u = 1 - a x^p + b x^(p + 1) - c x^(p + 2), which is the u with u(0) = 1 and u' = -d x^(p - 1) (1 - x)^2.
    """

    p: float | Tensor

    def value(self, x: Tensor) -> Tensor:
        """u(x)."""
        p = self.p
        a, b, c = (p + 1.0) * (p + 2.0) / 2.0, p * (p + 2.0), p * (p + 1.0) / 2.0
        return (1.0 - _power(x, p) * (a - x * (b - c * x))) * (x < 1.0)

    def times_slope(self, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """g u'(x)."""
        return gradient * self._scaled(x, self.p - 1.0, 1.0 - x) * (1.0 - x)

    def times_curvature(self, u: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """u times u''(x) = -d x^(p - 2) (1 - x) (p - 1 - (p + 1) x)."""
        return self._scaled(x, self.p - 2.0, (self.p - 1.0) - (self.p + 1.0) * x) * (1.0 - x) * u

    def _scaled(self, x: Tensor, power: float | Tensor, factor: Tensor) -> Tensor:
        d = self.p * (self.p + 1.0) * (self.p + 2.0) / 2.0
        # a truth value times a number would be float32
        return _power(x, power) * factor * (x < 1.0) * -d


@dataclass(frozen=True)
class XplorEnvelope:
    """u(x) of x = r / cutoff >= 0, one up to x = on and zero for x >= 1; C1, its second derivative jumps at both ends.

    u = (1 - s) (1 - s) (1 + 2 s - 3 o) / (1 - o)^3 with s = x^2, o = on^2, in between (XPLOR's switching function).
    """

    on: float

    def value(self, x: Tensor) -> Tensor:
        """u(x)."""
        s, o = x * x, self.on**2
        u = (1.0 - s).square() * (1.0 + 2.0 * s - 3.0 * o) / (1.0 - o) ** 3
        return torch.where(x < self.on, torch.ones_like(x), u * (x < 1.0))

    def times_slope(self, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """g u'(x), u' = -12 x (1 - s) (s - o) / (1 - o)^3."""
        s = x * x
        return gradient * self._scaled(x, x * (1.0 - s) * (s - self.on**2))

    def times_curvature(self, u: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """u times u''(x) = -12 ((1 - s) (s - o) + 2 s (1 + o - 2 s)) / (1 - o)^3."""
        s, o = x * x, self.on**2
        return u * self._scaled(x, (1.0 - s) * (s - o) + 2.0 * s * (1.0 + o - 2.0 * s))

    def _scaled(self, x: Tensor, values: Tensor) -> Tensor:
        """-12 / (1 - o)^3 times ``values`` where u changes, else zero."""
        return values * ((x > self.on) & (x < 1.0)) * (-12.0 / (1.0 - self.on**2) ** 3)


@dataclass(frozen=True)
class ExpTanh:
    """exp(s tanh x), between exp(-s) and exp(s), one at zero; with t = tanh x = ln(y) / s: f' = s y (1 - t^2)."""

    strength: float

    def value(self, x: Tensor) -> Tensor:
        """exp(s tanh x)."""
        return torch.tanh(x).mul_(self.strength).exp_()

    def times_slope(self, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """g f'(x)."""
        return self._slope(torch.log(y)).mul_(y).mul_(gradient)

    def times_curvature(self, u: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """u f''(x) = u f' (s (1 - t^2) - 2 t)."""
        log = torch.log(y)
        slope = self._slope(log)
        return (slope - log.mul_(2.0 / self.strength)).mul_(slope).mul_(y).mul_(u)

    def _slope(self, log: Tensor) -> Tensor:
        """s (1 - t^2) from s t."""
        return log.square().mul_(-1.0 / self.strength).add_(self.strength)


def _power(x: Tensor, p: float | Tensor) -> Tensor:
    """x^p, by multiplications where p is a whole number: several times faster than the general power."""
    if isinstance(p, Tensor) or p != int(p) or p < 1:
        return x.pow(p)
    n, square, result = int(p), x, None
    while n:
        if n & 1:
            result = square if result is None else result * square
        n >>= 1
        square = square * square if n else square
    assert result is not None
    return result


SILU = Silu()


@with_cpu_kernel(kernel_silu)
def silu(x: Tensor) -> Tensor:
    """x sigmoid(x)."""
    return elementwise(SILU, x)


def elementwise(function: Elementwise, x: Tensor) -> Tensor:
    """function(x); differentiates twice."""
    return _Value.apply(function, x)


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Elementwise, x: Tensor) -> Tensor:
        ctx.function, y = function, function.value(x)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        if not torch.is_grad_enabled():  # nobody differentiates once more
            return None, ctx.function.times_slope(gradient, *ctx.saved_tensors)
        return None, _Slope.apply(ctx.function, gradient, *ctx.saved_tensors)


class _Slope(torch.autograd.Function):
    """g f'(x)."""

    @staticmethod
    def forward(ctx: Any, function: Elementwise, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(gradient, x, y)
        return function.times_slope(gradient, x, y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, tangent: Tensor) -> tuple[None, Tensor, Tensor, None]:
        """t f'(x) and t g f''(x); y is a function of x, and nothing by itself."""
        gradient, x, y = ctx.saved_tensors
        by_gradient = ctx.function.times_slope(tangent, x, y)
        return None, by_gradient, ctx.function.times_curvature(gradient * tangent, x, y), None
