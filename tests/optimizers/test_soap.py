"""SOAP: the algorithm of the paper, written out for one matrix, is what the stacked one does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scalarpath.optimizers.soap import FLOOR, Soap

LR, BETAS, EPS, INTERVAL = 0.02, (0.9, 0.95), 1e-8, 3


class OneMatrix:
    """Algorithm 3 of arXiv:2409.11321 for a square matrix, by its formulas: L = E[G G^T], R = E[G^T G]."""

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.t = weight, -1
        n = len(weight)
        self.left, self.right, self.mean, self.square = (torch.zeros(n, n, dtype=weight.dtype) for _ in range(4))

    def step(self, gradient: Tensor) -> None:
        self.t += 1
        beta1, beta2 = BETAS
        if self.t > 0:
            self.mean = beta1 * self.mean + (1 - beta1) * gradient  # in the standard basis
            turned = self.ql.T @ gradient @ self.qr
            self.square = beta2 * self.square + (1 - beta2) * turned**2
            mean = self.ql.T @ self.mean @ self.qr / (1 - beta1**self.t)
            direction = mean / ((self.square / (1 - beta2**self.t)).sqrt() + EPS)
            self.weight = self.weight - LR * self.ql @ direction @ self.qr.T
        self.left = beta2 * self.left + (1 - beta2) * gradient @ gradient.T
        self.right = beta2 * self.right + (1 - beta2) * gradient.T @ gradient
        if self.t == 0:
            self.ql, self.qr = (torch.linalg.eigh(full_rank(m))[1].flip(1) for m in (self.left, self.right))
        elif self.t % INTERVAL == 0:
            rows, self.ql = self.followed(self.left, self.ql)
            columns, self.qr = self.followed(self.right, self.qr)
            self.square = self.square[rows][:, columns]

    @staticmethod
    def followed(moment: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
        moment = full_rank(moment)
        order = torch.diag(basis.T @ moment @ basis).argsort(descending=True)
        return order, torch.linalg.qr(moment @ basis[:, order])[0]


def full_rank(moment: Tensor) -> Tensor:
    n = len(moment)
    return moment + torch.diag(FLOOR * moment.trace() / n * torch.linspace(1, 2 - 1 / n, n, dtype=moment.dtype))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(steps: int, *shape: int) -> list[Tensor]:
    """Gradients with a direction that turns, so that bases and moments change."""
    return [drawn(*shape, seed=100 + k) * (0.2 + drawn(*shape, seed=k // 4) ** 2) for k in range(steps)]


def trained(shape: tuple[int, ...], steps: list[Tensor], *others: nn.Parameter, **options) -> nn.Parameter:
    p = nn.Parameter(drawn(*shape))
    optimizer = Soap([p, *others], LR, BETAS, eps=EPS, interval=INTERVAL, **options)
    for gradient in steps:
        for q in (p, *others):
            q.grad = gradient if q is p else torch.ones_like(q)
        optimizer.step()
    return p


def test_a_matrix_moves_as_the_algorithm_says():
    steps = gradients(14, 5, 5)
    expected = OneMatrix(drawn(5, 5))
    for gradient in steps:
        expected.step(gradient)
    torch.testing.assert_close(trained((5, 5), steps).detach(), expected.weight, rtol=1e-9, atol=1e-12)


def test_matrices_of_a_parameter_and_of_others_do_not_see_one_another():
    """[paths, 1, 4, 4] is a matrix for each path; another parameter of that shape is beside them in the stack."""
    steps = gradients(9, 3, 1, 4, 4)
    together = trained((3, 1, 4, 4), steps, nn.Parameter(drawn(4, 4)), nn.Parameter(drawn(7)))
    start = drawn(3, 1, 4, 4)
    for path in range(3):
        alone = OneMatrix(start[path, 0])
        for gradient in steps:
            alone.step(gradient[path, 0])
        torch.testing.assert_close(together.detach()[path, 0], alone.weight, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(6,), (), (1, 6), (9, 1, 1), (12, 11)])
def test_vectors_and_what_is_too_long_take_adams_steps(shape):
    steps = gradients(7, *shape)
    moved = trained(shape, steps, max_size=8)
    adam = nn.Parameter(drawn(*shape))
    optimizer = torch.optim.Adam([adam], LR, BETAS, EPS)
    for gradient in steps[1:]:  # the first one sets up
        adam.grad = gradient
        optimizer.step()
    torch.testing.assert_close(moved, adam, rtol=1e-6, atol=1e-8)  # eps enters elsewhere


def test_a_long_side_keeps_its_basis_and_a_short_one_turns():
    """One-sided: the steps of the transpose are the transposed steps."""
    steps = gradients(8, 20, 4)
    tall = trained((20, 4), steps, max_size=8)
    wide = nn.Parameter(drawn(20, 4).T.contiguous())
    optimizer = Soap([wide], LR, BETAS, eps=EPS, interval=INTERVAL, max_size=8)
    for gradient in steps:
        wide.grad = gradient.T
        optimizer.step()
    assert set(optimizer.state[wide]) == {"mean", "square", "moment_0", "basis_0"}
    torch.testing.assert_close(wide.detach().T, tall.detach(), rtol=1e-9, atol=1e-12)


def test_a_large_parameter_turns_its_shorter_side_only():
    steps = gradients(6, 600, 12, 10)
    large = nn.Parameter(drawn(600, 12, 10))
    first = nn.Parameter(drawn(600, 12, 10)[0])
    both = (
        Soap([large], LR, BETAS, eps=EPS, interval=INTERVAL),
        Soap([first], LR, BETAS, eps=EPS, interval=INTERVAL, max_size=10),
    )
    for gradient in steps:
        large.grad, first.grad = gradient, gradient[0]
        for optimizer in both:
            optimizer.step()
    assert set(both[0].state[large]) == {"mean", "square", "moment_1", "basis_1"}
    torch.testing.assert_close(large.detach()[0], first.detach(), rtol=1e-9, atol=1e-12)


def test_a_turned_problem_is_solved_as_the_one_along_the_axes():
    """What preconditioning is for: rotations of rows and columns of a matrix do not matter, as they do to Adam."""
    left, right = torch.linalg.qr(drawn(6, 6, seed=5))[0], torch.linalg.qr(drawn(6, 6, seed=6))[0]
    target, scales = drawn(6, 6, seed=7), torch.logspace(-2, 1, 6, dtype=torch.float64)

    def losses(kind: str, turned: bool) -> float:
        p = nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))
        options = {"interval": 5} if kind == "soap" else {}
        optimizer = (Soap if kind == "soap" else torch.optim.Adam)([p], 0.05, (0.9, 0.95), **options)
        for _ in range(200):
            optimizer.zero_grad()
            x = left.T @ p @ right if turned else p
            loss = (scales[:, None] * (x - target)).square().sum()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert losses("soap", True) < 0.1 * losses("adam", True)
    assert losses("soap", True) < 3 * losses("soap", False)


def test_weight_decay_is_apart_from_the_gradient():
    p = nn.Parameter(drawn(3, 3))
    optimizer = Soap([{"params": [p], "weight_decay": 0.1}], LR)
    for _ in range(3):
        p.grad = torch.zeros_like(p)
        optimizer.step()
    torch.testing.assert_close(p.detach(), drawn(3, 3) * (1 - LR * 0.1) ** 2)


def test_rounding_does_not_choose_the_bases_of_what_no_gradient_has_seen():
    """Gradients of rank 2 leave 6 directions open; the same gradients with noise of 1e-15 give the same steps."""
    exact = [drawn(8, 2, seed=k // 4) @ drawn(2, 8, seed=k) for k in range(9)]
    noisy = [g * (1 + 1e-15 * drawn(8, 8, seed=50 + k)) for k, g in enumerate(exact)]
    torch.testing.assert_close(trained((8, 8), noisy), trained((8, 8), exact), rtol=0, atol=1e-6)
