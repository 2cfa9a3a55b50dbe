"""Spherical harmonics and their derivatives, against e3nn's polynomials."""

from __future__ import annotations

import pytest
import torch
from e3nn import o3
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.angular import SphericalHarmonics


@pytest.fixture
def units() -> Tensor:
    vectors = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (vectors / vectors.norm(dim=1, keepdim=True)).requires_grad_()


@pytest.mark.parametrize("l_max", range(1, 6))
def test_values_and_slopes_are_those_of_e3nn(l_max, units):
    theirs = o3.SphericalHarmonics(list(range(l_max + 1)), normalize=False, normalization="component")
    gradient = torch.randn(20, (l_max + 1) ** 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = []
    for harmonics in (SphericalHarmonics(l_max), theirs):
        values = harmonics(units)
        found.append((values, *torch.autograd.grad((gradient * values).sum(), units)))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("l_max", range(5))
def test_first_and_second_derivatives(l_max, units):
    few = units[:4].detach().requires_grad_()
    assert gradcheck(SphericalHarmonics(l_max), few)
    assert gradgradcheck(SphericalHarmonics(l_max), few)
