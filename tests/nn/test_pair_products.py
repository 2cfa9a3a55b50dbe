"""Products of pairs of components, with derivatives of every order."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.pair_products import pair_products


@pytest.mark.parametrize("n", [1, 2, 5])
def test_products_are_those_of_the_upper_triangle(n):
    x = torch.randn(3, n, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, second = torch.triu_indices(n, n)
    assert torch.equal(pair_products(x), x[:, first] * x[:, second])


@pytest.mark.parametrize("n", [1, 4])
def test_first_to_third_derivatives(n):
    x = torch.randn(2, n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()

    def gradient(values):
        return torch.autograd.grad(pair_products(values).pow(3).sum(), values, create_graph=True)[0]

    assert gradcheck(pair_products, x)
    assert gradgradcheck(pair_products, x)
    assert gradgradcheck(gradient, x)
