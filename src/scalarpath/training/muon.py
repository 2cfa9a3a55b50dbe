"""Muon: momentum of matrices, made orthogonal, for many small matrices at once; Adam for all other weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.training.stacks import Stack, StackedOptimizer, matrix_sides

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of x, x^3, x^5; five times, it brings singular values to 0.7 ... 1.2
ITERATIONS = 5
RMS_OF_ADAM = 0.2


class Muon(StackedOptimizer):
    """Steps along U V^T, where U S V^T is the momentum of a matrix: all its directions move by the same amount.

    Jordan et al., kellerjordan.github.io/posts/muon, with Nesterov's momentum; steps of an m x n matrix are as long as
    Adam's at the same rate, 0.2 sqrt(max(m, n)) U V^T (arXiv:2502.16982), so that one rate serves all weights. Vectors,
    and matrices with a side shorter than ``min_size`` such as one row per element, take Adam's steps. Weight decay is
    apart from the gradient, as in AdamW.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.95),
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        min_size: int = 4,
    ) -> None:
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**options, "min_size": min_size, "step": 0})

    def _shape(self, p: nn.Parameter, group: dict[str, Any]) -> tuple[int, ...]:
        sides = matrix_sides(p)
        return sides if len(sides) == 2 and min(sides) >= group["min_size"] else (1,)

    def _stack(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter]) -> Stack:
        return (_OrthogonalStack if len(shape) == 2 else _AdamStack)(group, shape, params, self.state)


class _OrthogonalStack(Stack):
    """mean: momentum of the gradients [B, m, n]."""

    def __init__(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        super().__init__(group, shape, params, state)
        self.mean = self.kept("mean", *shape)

    def step(self) -> None:
        gradient, beta = self.gradient(), self.group["betas"][0]
        self.mean.lerp_(gradient, 1 - beta)
        change = orthogonal(gradient.lerp_(self.mean, beta))
        self.move(change, self.group["lr"] * RMS_OF_ADAM * math.sqrt(max(self.shape)))


class _AdamStack(Stack):
    """mean, square: moments of the gradients [B, 1]."""

    def __init__(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        super().__init__(group, shape, params, state)
        self.mean, self.square = self.kept("mean", *shape), self.kept("square", *shape)

    def step(self) -> None:
        gradient, (beta1, beta2), step = self.gradient(), self.group["betas"], self.group["step"]
        self.mean.lerp_(gradient, 1 - beta1)
        self.square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (self.square / (1 - beta2**step)).sqrt_().add_(self.group["eps"])
        self.move(self.mean / root, self.group["lr"] / (1 - beta1**step))


def orthogonal(x: Tensor) -> Tensor:
    """U S' V^T of the matrices U S V^T [B, m, n], S' near one, without a decomposition; zero stays zero."""
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
