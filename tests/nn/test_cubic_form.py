"""Cubic polynomials with symmetric coefficients, and their derivatives."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.contraction.cubic_form import cubic_form

CHANNELS, OUTPUTS, SIZE, ATOMS = 2, 3, 4, 5
FIRST, SECOND = torch.triu_indices(SIZE, SIZE)


def symmetric(nu: int, seed: int) -> torch.Tensor:
    """Random tensor [C, M, n (nu times)], symmetric in its factors."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(CHANNELS, OUTPUTS, *[SIZE] * nu, generator=generator, dtype=torch.float64)
    return torch.stack([raw.permute(0, 1, *axes) for axes in itertools.permutations(range(2, nu + 2))]).mean(0)


def packed(t3: torch.Tensor) -> torch.Tensor:
    twice = torch.where(FIRST == SECOND, 1.0, 2.0).double()
    return (t3[..., FIRST, SECOND] * twice).flatten(1, 2)


def form(a: torch.Tensor, t1: torch.Tensor, t2: torch.Tensor, t3: torch.Tensor) -> torch.Tensor:
    return cubic_form(a, t1.flatten(1)[..., None], t2.flatten(1, 2), packed(t3))


def written_out(a: torch.Tensor, t1: torch.Tensor, t2: torch.Tensor, t3: torch.Tensor) -> torch.Tensor:
    return (
        torch.einsum("cma,can->cmn", t1, a)
        + torch.einsum("cmab,can,cbn->cmn", t2, a, a)
        + torch.einsum("cmabd,can,cbn,cdn->cmn", t3, a, a, a)
    )


@pytest.fixture
def a() -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(CHANNELS, SIZE, ATOMS, generator=generator, dtype=torch.float64).requires_grad_()


def test_it_is_the_polynomial(a):
    tensors = [symmetric(nu, nu) for nu in (1, 2, 3)]
    torch.testing.assert_close(form(a, *tensors), written_out(a, *tensors), rtol=1e-13, atol=1e-13)


def test_first_and_second_derivatives_by_the_variable(a):
    tensors = [symmetric(nu, nu) for nu in (1, 2, 3)]
    assert gradcheck(lambda x: form(x, *tensors), a)
    assert gradgradcheck(lambda x: form(x, *tensors), a)


def test_a_loss_on_gradients_reaches_symmetric_coefficients(a):
    """As in training on forces: coefficients are combinations of symmetric tensors, the loss has value and gradient."""
    bases = [torch.stack([symmetric(nu, 10 * nu + k) for k in range(2)]) for nu in (1, 2, 3)]
    gradients = []
    for function in (form, written_out):
        weights = [torch.tensor([0.7, -0.4], dtype=torch.float64).requires_grad_() for _ in bases]
        out = function(a, *(torch.einsum("k,k...->...", w, b) for w, b in zip(weights, bases, strict=True)))
        (force,) = torch.autograd.grad(out.square().sum(), a, create_graph=True)
        (force.pow(3).sum() + out.sum()).backward()
        gradients.append(torch.stack([w.grad for w in weights]))
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_differentiating_gradients_of_the_coefficients_is_refused(a):
    t1, t2, t3 = (symmetric(nu, nu) for nu in (1, 2, 3))
    t1.requires_grad_()
    (gradient,) = torch.autograd.grad(form(a, t1, t2, t3).square().sum(), t1, create_graph=True)
    with pytest.raises(NotImplementedError):
        gradient.square().sum().backward()
