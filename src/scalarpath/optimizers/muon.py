"""Muon: momentum of matrices, made orthogonal, for many small matrices at once; Adam for all other weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.optimizers.stacks import AdamStack, Stack, StackedOptimizer, adam_changes, matrix_sides

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
        super().__init__(params, lr, betas, weight_decay, eps, min_size=min_size)

    def _shape(self, p: nn.Parameter, group: dict[str, Any]) -> tuple[int, ...]:
        sides = matrix_sides(p)
        return sides if len(sides) == 2 and min(sides) >= group["min_size"] else (1,)

    def _stack(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter]) -> Stack:
        return (_MomentumStack if len(shape) == 2 else AdamStack)(shape, params, self.state)

    def _changes(self, group: dict[str, Any], stacks: list[Any]) -> list[Tensor]:
        vectors = [stack for stack in stacks if isinstance(stack, AdamStack)]
        of_adam = iter(adam_changes([stack.gradient() for stack in vectors], vectors, group, group["step"]))
        return [next(of_adam) if isinstance(stack, AdamStack) else stack.change(group) for stack in stacks]


class _MomentumStack(Stack):
    """mean: momentum of the gradients [B, m, n]."""

    def __init__(self, shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        super().__init__(shape, params, state)
        self.mean = self.kept("mean", *shape)

    def change(self, group: dict[str, Any]) -> Tensor:
        gradient, beta = self.gradient(), group["betas"][0]
        self.mean.lerp_(gradient, 1 - beta)
        rate = group["lr"] * RMS_OF_ADAM * math.sqrt(max(self.shape))
        return orthogonal(gradient.lerp(self.mean, beta)).mul_(-rate)


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
