"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner, for many small matrices at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.training.stacks import Stack, StackedOptimizer, matrix_sides

FLOOR = 1e-4  # of a moment's mean eigenvalue


class Soap(StackedOptimizer):
    """Adam's step for every matrix G of gradients, in the bases of eigenvectors of E[G G^T] and E[G^T G].

    Vyas et al., arXiv:2409.11321, algorithm 3. Every matrix has bases of its own. A side longer than ``max_size`` keeps
    its basis, and where none is left, as for vectors, the step is Adam's. Every ``interval`` steps the bases follow by
    power iteration and a QR decomposition; the first step does nothing but set them up. Weight decay is apart from the
    gradient, as in AdamW.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.95),
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        interval: int = 10,
        max_size: int = 256,
    ) -> None:
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**options, "interval": interval, "max_size": max_size, "step": 0})

    def _shape(self, p: nn.Parameter, group: dict[str, Any]) -> tuple[int, ...]:
        sides = matrix_sides(p)
        return sides if len(sides) == 2 and min(sides) <= group["max_size"] else (1,)

    def _stack(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter]) -> Stack:
        return _BasisStack(group, shape, params, self.state)


class _BasisStack(Stack):
    """mean, square: moments of the gradients in the bases [B, m, n]; sides: the bases."""

    def __init__(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        super().__init__(group, shape, params, state)
        self.mean, self.square = self.kept("mean", *shape), self.kept("square", *shape)
        self.sides = [
            _Side(axis - 2, self.kept(f"moment_{axis}", n, n), self.kept(f"basis_{axis}", n, n))
            for axis, n in enumerate(shape)
            if len(shape) == 2 and n <= group["max_size"]
        ]

    def step(self) -> None:
        """Change the parameters by their gradients."""
        group, (beta1, beta2), step = self.group, self.group["betas"], self.group["step"] - 1
        gradient = self.gradient()
        if step > 0:
            turned = self._turn(gradient)
            self.mean.lerp_(turned, 1 - beta1)
            self.square.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
            change = self.mean / self.square.sqrt().add_(group["eps"])
            for side in self.sides:
                change = side.back(change)
            rate = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
            self.move(change, rate)
        for side in self.sides:
            side.observe(gradient, beta2)
        if step == 0:
            for side in self.sides:
                side.begin()
        elif step % group["interval"] == 0 and self.sides:
            self._follow()

    def _turn(self, gradient: Tensor) -> Tensor:
        for side in self.sides:
            gradient = side.turn(gradient)
        return gradient

    def _follow(self) -> None:
        """Let the bases follow their matrices; the mean gradient is turned from the old ones to the new."""
        mean = self.mean
        for side in self.sides:
            mean = side.back(mean)
        for side in self.sides:
            order = side.follow()
            along = order[:, :, None] if side.axis == -2 else order[:, None, :]
            self.square.copy_(self.square.gather(side.axis, along.expand_as(self.square)))
        self.mean.copy_(self._turn(mean))


@dataclass
class _Side:
    """The rows (axis -2) or columns (axis -1) of stacked matrices: mean of G G^T [B, n, n] and its basis [B, n, n]."""

    axis: int
    moment: Tensor
    basis: Tensor

    def turn(self, x: Tensor) -> Tensor:
        """Matrices [B, m, n] in the basis."""
        return torch.bmm(self.basis.mT, x) if self.axis == -2 else torch.bmm(x, self.basis)

    def back(self, x: Tensor) -> Tensor:
        """The inverse of ``turn``."""
        return torch.bmm(self.basis, x) if self.axis == -2 else torch.bmm(x, self.basis.mT)

    def observe(self, gradient: Tensor, beta: float) -> None:
        """Add the gradients [B, m, n] to the mean."""
        first = gradient if self.axis == -2 else gradient.mT
        self.moment.baddbmm_(first, first.mT, beta=beta, alpha=1 - beta)

    def begin(self) -> None:
        """The eigenvectors, those of large eigenvalues first."""
        self.basis.copy_(torch.linalg.eigh(self._full_rank())[1].flip(-1))

    def follow(self) -> Tensor:
        """One power iteration; returns the new order of the old basis vectors [B, n]."""
        product = torch.bmm(self._full_rank(), self.basis)
        order = (self.basis * product).sum(-2).argsort(dim=-1, descending=True)
        self.basis.copy_(torch.linalg.qr(product.gather(-1, order[:, None, :].expand_as(product)))[0])
        return order

    def _full_rank(self) -> Tensor:
        """The moment with small, different numbers on its diagonal.

        What the gradients have not yet seen has no eigenvectors of its own: without these, rounding would choose them,
        and two processes would not train what one does.
        """
        n = self.moment.shape[-1]
        ramp = 1 + torch.arange(n, dtype=self.moment.dtype, device=self.moment.device) / n
        return self.moment + torch.diag_embed(FLOOR * self.moment.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None] * ramp)
