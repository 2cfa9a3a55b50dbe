"""silu with its own derivatives, against torch's."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.silu import silu

X = torch.linspace(-30.0, 30.0, 61, dtype=torch.float64).requires_grad_()


def derivatives(function) -> list[torch.Tensor]:
    """Value, first and second derivative at X."""
    value = function(X)
    (first,) = torch.autograd.grad(value.sum(), X, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), X)
    return [value, first, second]


def test_value_and_derivatives_are_those_of_torch():
    for ours, expected in zip(derivatives(silu), derivatives(torch.nn.functional.silu), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-15)


def test_the_second_derivative_is_linear_in_both_gradients():
    x = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert gradcheck(silu, x)
    assert gradgradcheck(silu, x)
