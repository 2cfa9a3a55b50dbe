"""Functions with derivatives of their own, against autograd's of the same formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.cpu import choice
from scalarpath.nn.elementwise import SILU, Envelope, ExpTanh, XplorEnvelope, elementwise, silu


def xplor(x: Tensor, on: float) -> Tensor:
    """XPLOR's switching function as printed, with r / cutoff and r_on / cutoff for r and r_on."""
    u = (1 - x**2) ** 2 * (1 + 2 * x**2 - 3 * on**2) / (1 - on**2) ** 3
    return torch.where(x < on, torch.ones_like(x), torch.where(x < 1, u, torch.zeros_like(u)))


def polynomial(x: Tensor, p: float) -> Tensor:
    """DimeNet's envelope as printed: 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)."""
    u = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    return torch.where(x < 1, u, torch.zeros_like(u))


WIDE, UNIT = torch.linspace(-30.0, 30.0, 61, dtype=torch.float64), torch.linspace(0.0, 1.3, 53, dtype=torch.float64)
CASES = [
    pytest.param(SILU, torch.nn.functional.silu, WIDE, id="silu"),
    pytest.param(ExpTanh(math.log(2.0)), lambda x: torch.exp(math.log(2.0) * torch.tanh(x)), 0.2 * WIDE, id="gate"),
    *(pytest.param(Envelope(p), lambda x, p=p: polynomial(x, p), UNIT, id=f"envelope {p}") for p in (2, 5, 6, 6.1, 12)),
    *(pytest.param(XplorEnvelope(on), lambda x, on=on: xplor(x, on), UNIT, id=f"xplor {on}") for on in (0.3, 0.91)),
]


def derivatives(function, x: Tensor) -> list[Tensor]:
    """Value, first and second derivative at x."""
    value = function(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    return [value, first, second]


@pytest.mark.parametrize(("function", "formula", "x"), CASES)
def test_value_and_derivatives_are_those_of_the_formula(function, formula, x):
    x = x.clone().requires_grad_()
    expected = derivatives(formula, x)
    for ours, theirs in zip(derivatives(lambda y: elementwise(function, y), x), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(("function", "formula", "x"), CASES)
def test_the_second_derivative_is_linear_in_both_gradients(function, formula, x):
    x = torch.rand(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda y: elementwise(function, y), x)
    assert gradgradcheck(lambda y: elementwise(function, y), x)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_silu_in_a_kernel_is_that_of_torch_operations(dtype, tolerance):
    """Large arguments neither overflow nor lose the derivatives; more numbers than one thread takes at once."""
    x = torch.cat([torch.linspace(-800.0, 800.0, 5000), torch.linspace(-30.0, 30.0, 5003)]).to(dtype).requires_grad_()
    ours = derivatives(silu, x)
    with choice.in_torch_operations():
        theirs = derivatives(silu, x)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_silu_differentiates_twice():
    x = torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert gradcheck(silu, x)
    assert gradgradcheck(silu, x)


def test_tangents_of_silu_in_a_kernel_do_not_overflow():
    """In single precision exp(88) times a tangent of 10 is infinite, where the derivative is zero."""
    x = torch.linspace(-800.0, 800.0, 5000).requires_grad_()
    tangent = torch.full_like(x, 1e6)

    def second() -> Tensor:
        (slope,) = torch.autograd.grad(silu(x).sum(), x, create_graph=True)
        return torch.autograd.grad(slope, x, tangent)[0]

    ours = second()
    with choice.in_torch_operations():
        torch.testing.assert_close(ours, second(), rtol=1e-5, atol=1.0)
