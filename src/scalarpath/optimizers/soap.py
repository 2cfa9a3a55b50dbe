"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner, for many small matrices at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.optimizers.stacks import LARGE, AdamStack, Stack, StackedOptimizer, adam_changes, matrix_sides

FLOOR = 1e-4  # of a moment's mean eigenvalue


class Soap(StackedOptimizer):
    """Adam's step for every matrix G of gradients, in the bases of eigenvectors of E[G G^T] and E[G^T G].

    Vyas et al., arXiv:2409.11321, algorithm 3. Every matrix has bases of its own. A side longer than ``max_size`` keeps
    its basis, and so does the longer one in a parameter of more than LARGE numbers (the paper's one-sided variant).
    Where none is left, as for vectors, the step is Adam's. Every ``interval`` steps the bases follow by power iteration
    and a QR decomposition; the first step does nothing but set them up. Weight decay is apart from the gradient, as in
    AdamW.
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
        super().__init__(params, lr, betas, weight_decay, eps, interval=interval, max_size=max_size)

    def _shape(self, p: nn.Parameter, group: dict[str, Any]) -> tuple[int, ...]:
        sides = matrix_sides(p)
        return sides if len(sides) == 2 and min(sides) <= group["max_size"] else (1,)

    def _stack(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter]) -> Stack:
        return _BasisStack(shape, params, self.state, group["max_size"])

    def _changes(self, group: dict[str, Any], stacks: list[Any]) -> list[Tensor]:
        gradients, step = [stack.gradient() for stack in stacks], group["step"] - 1
        changes: list[Tensor] = []
        if step > 0:
            turned = [stack.turn(gradient) for stack, gradient in zip(stacks, gradients, strict=True)]
            changes = adam_changes(turned, stacks, group, step)
            changes = [stack.back(change) for stack, change in zip(stacks, changes, strict=True)]
        for stack, gradient in zip(stacks, gradients, strict=True):
            stack.observe(gradient, group["betas"][1])
            if step == 0:
                stack.begin()
            elif step % group["interval"] == 0:
                stack.follow()
        return changes


class _BasisStack(AdamStack):
    """Moments in the bases of the sides."""

    def __init__(self, shape: tuple[int, ...], params: list[nn.Parameter], state: Any, max_size: int) -> None:
        super().__init__(shape, params, state)
        axes = [axis for axis, n in enumerate(shape) if len(shape) == 2 and n <= max_size]
        if params[0].numel() > LARGE:
            axes = sorted(axes, key=lambda axis: shape[axis])[:1]
        self.sides = [
            _Side(axis - 2, self.kept(f"moment_{axis}", n, n), self.kept(f"basis_{axis}", n, n))
            for axis, n in ((axis, shape[axis]) for axis in axes)
        ]

    def turn(self, x: Tensor) -> Tensor:
        """Matrices [B, m, n] in the bases."""
        for side in self.sides:
            x = side.turn(x)
        return x

    def back(self, x: Tensor) -> Tensor:
        """The inverse of ``turn``."""
        for side in self.sides:
            x = side.back(x)
        return x

    def observe(self, gradient: Tensor, beta: float) -> None:
        """Add gradients [B, m, n] to what the bases follow."""
        for side in self.sides:
            side.observe(gradient, beta)

    def begin(self) -> None:
        """The first bases."""
        for side in self.sides:
            side.begin()

    def follow(self) -> None:
        """Let the bases follow their matrices; the mean gradient is turned from the old ones to the new."""
        mean = self.back(self.mean)
        for side in self.sides:
            order = side.follow()
            along = order[:, :, None] if side.axis == -2 else order[:, None, :]
            self.square.copy_(self.square.gather(side.axis, along.expand_as(self.square)))
        if self.sides:
            self.mean.copy_(self.turn(mean))


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
