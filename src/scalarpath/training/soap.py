"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioner, for many small matrices at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FLOOR = 1e-4  # of a moment's mean eigenvalue


class Soap(torch.optim.Optimizer):
    """Adam's step for every matrix G of gradients, in the bases of eigenvectors of E[G G^T] and E[G^T G].

    Vyas et al., arXiv:2409.11321, algorithm 3. The matrices of a parameter are its last two dimensions that are longer
    than one; the others count matrices (of paths, of elements), which have bases of their own. A side longer than
    ``max_size`` keeps its basis, and where none is left, as for vectors, the step is Adam's. Every ``interval`` steps
    the bases follow by power iteration and a QR decomposition; the first step does nothing but set them up. Weight
    decay is apart from the gradient, as in AdamW.

    A potential has tens of matrices of a few shapes, for which calls cost more than arithmetic: matrices of one shape
    are stacked [B, m, n] and go through every operation together.
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
        self._stacks: list[_Stack] | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; a parameter without a gradient counts as one whose gradient is zero."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._stacks is None:
            self._stacks = self._stacked()
        for group in self.param_groups:
            group["step"] += 1
        for stack in self._stacks:
            stack.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state_dict)
        self._stacks = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._stacks = None

    def _stacked(self) -> list[_Stack]:
        """The parameters by group and shape of their matrices."""
        found: dict[tuple[int, tuple[int, ...]], list[nn.Parameter]] = {}
        for index, group in enumerate(self.param_groups):
            for p in group["params"]:
                found.setdefault((index, _matrix(p, group["max_size"])), []).append(p)
        return [_Stack(self.param_groups[index], shape, ps, self.state) for (index, shape), ps in found.items()]


def _matrix(p: nn.Parameter, max_size: int) -> tuple[int, ...]:
    """Rows and columns of the matrices of a parameter; (1,) for one that takes Adam's step."""
    sides = [size for size in p.shape if size > 1][-2:]
    return tuple(sides) if len(sides) == 2 and min(sides) <= max_size else (1,)


class _Stack:
    """Parameters of one group with matrices of one shape, and what is known of their gradients, B matrices in all.

    mean, square: moments of the gradients in the bases [B, m, n]; sides: the bases. The optimizer's ``state`` holds the
    part of each parameter, as a view.
    """

    def __init__(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        self.group, self.shape = group, shape
        self.params: list[Tensor] = list(params)
        self._counts = [p.numel() // math.prod(shape) for p in params]

        def stacked(name: str, *sizes: int) -> Tensor:
            if all(name in state[p] for p in params):  # of a checkpoint
                whole = torch.cat([state[p][name] for p in params])
            else:
                whole = torch.cat([p.new_zeros(n, *sizes) for p, n in zip(params, self._counts, strict=True)])
            for p, part in zip(params, whole.split(self._counts), strict=True):
                state[p][name] = part
            return whole

        self.mean, self.square = stacked("mean", *shape), stacked("square", *shape)
        self.sides = [
            _Side(axis - 2, stacked(f"moment_{axis}", n, n), stacked(f"basis_{axis}", n, n))
            for axis, n in enumerate(shape)
            if len(shape) == 2 and n <= group["max_size"]
        ]

    def step(self) -> None:
        """Change the parameters by their gradients."""
        group, (beta1, beta2), step = self.group, self.group["betas"], self.group["step"] - 1
        gradient = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1, *self.shape) for p in self.params]
        )
        if step > 0:
            turned = self._turn(gradient)
            self.mean.lerp_(turned, 1 - beta1)
            self.square.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
            change = self.mean / self.square.sqrt().add_(group["eps"])
            for side in self.sides:
                change = side.back(change)
            changes = [c.reshape(p.shape) for c, p in zip(change.split(self._counts), self.params, strict=True)]
            rate = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
            if group["weight_decay"]:
                torch._foreach_mul_(self.params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(self.params, changes, alpha=-rate)
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
