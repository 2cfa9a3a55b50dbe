"""Muon: orthogonal momentum as the SVD gives it, for the right matrices; Adam for the rest."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from scalarpath.optimizers.muon import Muon, orthogonal

LR, BETAS = 0.02, (0.9, 0.95)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def trained(shape: tuple[int, ...], steps: int, *others: nn.Parameter) -> Tensor:
    p = nn.Parameter(drawn(*shape))
    optimizer = Muon([p, *others], LR, BETAS)
    for k in range(steps):
        for q in (p, *others):
            q.grad = drawn(*q.shape, seed=100 + k)
        optimizer.step()
    return p.detach()


def one_matrix(weight: Tensor, gradients: list[Tensor]) -> Tensor:
    """Jordan's algorithm with arXiv:2502.16982's length, its fifth-order polynomial applied to singular values."""
    momentum = torch.zeros_like(weight)
    for gradient in gradients:
        momentum = BETAS[0] * momentum + (1 - BETAS[0]) * gradient
        u, s, vt = torch.linalg.svd(BETAS[0] * momentum + (1 - BETAS[0]) * gradient, full_matrices=False)
        s = s / s.square().sum().sqrt()
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        weight = weight - LR * 0.2 * math.sqrt(max(weight.shape)) * u @ torch.diag(s) @ vt
    return weight


@pytest.mark.parametrize("shape", [(6, 6), (5, 9), (9, 5)])
def test_a_matrix_moves_as_the_algorithm_says(shape):
    expected = one_matrix(drawn(*shape), [drawn(*shape, seed=100 + k) for k in range(6)])
    torch.testing.assert_close(trained(shape, 6), expected, rtol=1e-9, atol=1e-12)


def test_matrices_of_a_parameter_and_of_others_do_not_see_one_another():
    """[paths, 1, 4, 4] is a matrix for each path; another parameter of that shape is beside them in the stack."""
    together = trained((3, 1, 4, 4), 5, nn.Parameter(drawn(4, 4)), nn.Parameter(drawn(7)))
    for path in range(3):
        alone = one_matrix(drawn(3, 1, 4, 4)[path, 0], [drawn(3, 1, 4, 4, seed=100 + k)[path, 0] for k in range(5)])
        torch.testing.assert_close(together[path, 0], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(6,), (), (1, 6), (9, 1, 1), (2, 12), (12, 3)])
def test_vectors_and_rows_of_few_elements_take_adams_steps(shape):
    adam = nn.Parameter(drawn(*shape))
    optimizer = torch.optim.Adam([adam], LR, BETAS)
    for k in range(6):
        adam.grad = drawn(*shape, seed=100 + k)
        optimizer.step()
    torch.testing.assert_close(trained(shape, 6), adam.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("dtype", "closeness"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_the_orthogonal_matrix_has_the_singular_vectors_of_its_argument_and_values_near_one(dtype, closeness):
    u, s, vt = torch.linalg.svd(drawn(4, 24, 16, dtype=dtype), full_matrices=False)
    result = orthogonal(u * s[:, None, :] @ vt)
    values = u.mT @ result @ vt.mT
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    assert float((values - torch.diag_embed(diagonal)).abs().max()) < closeness
    assert 0.6 < float(diagonal.min()) < float(diagonal.max()) < 1.25


def test_zero_gradients_move_nothing():
    assert torch.equal(orthogonal(torch.zeros(2, 4, 4)), torch.zeros(2, 4, 4))
    p = nn.Parameter(drawn(4, 4))
    optimizer = Muon([{"params": [p], "weight_decay": 0.1}], LR)
    p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(p.detach(), drawn(4, 4) * (1 - LR * 0.1))  # decay is apart from the gradient
