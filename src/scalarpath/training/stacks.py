"""Optimizers of many small matrices: those of one shape are stacked [B, m, n] and take every step together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class StackedOptimizer(torch.optim.Optimizer, ABC):
    """Splits the parameters of each group into matrices and stacks those of one shape.

    The matrices of a parameter are its last two dimensions that are longer than one; the others count matrices (of
    paths, of elements). A potential has tens of matrices of a few shapes, for which calls cost more than arithmetic.
    """

    _stacks: list[Stack] | None = None

    @abstractmethod
    def _stack(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter]) -> Stack:
        """What the matrices of one shape (vectors: (1,)) of a group take their steps with."""

    @abstractmethod
    def _shape(self, p: nn.Parameter, group: dict[str, Any]) -> tuple[int, ...]:
        """Rows and columns of the matrices of a parameter; (1,) for one whose numbers take steps of their own."""

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

    def _stacked(self) -> list[Stack]:
        """The parameters by group and shape of their matrices."""
        found: dict[tuple[int, tuple[int, ...]], list[nn.Parameter]] = {}
        for index, group in enumerate(self.param_groups):
            for p in group["params"]:
                found.setdefault((index, self._shape(p, group)), []).append(p)
        return [self._stack(self.param_groups[index], shape, ps) for (index, shape), ps in found.items()]


def matrix_sides(p: Tensor) -> tuple[int, ...]:
    """Rows and columns of the matrices of a parameter; one number or none where it has no matrices."""
    return tuple([size for size in p.shape if size > 1][-2:])


class Stack(ABC):
    """Parameters of one group with matrices of one shape, B matrices in all.

    What is known of their gradients is stacked; the optimizer's ``state`` holds the part of each parameter, as a view.
    """

    def __init__(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        self.group, self.shape = group, shape
        self.params: list[Tensor] = list(params)
        self._counts = [p.numel() // math.prod(shape) for p in params]
        self._state = state

    @abstractmethod
    def step(self) -> None:
        """Change the parameters by their gradients."""

    def kept(self, name: str, *sizes: int) -> Tensor:
        """Zeros [B, *sizes], or what a checkpoint has under that name."""
        if all(name in self._state[p] for p in self.params):
            whole = torch.cat([self._state[p][name] for p in self.params])
        else:
            whole = torch.cat([p.new_zeros(n, *sizes) for p, n in zip(self.params, self._counts, strict=True)])
        for p, part in zip(self.params, whole.split(self._counts), strict=True):
            self._state[p][name] = part
        return whole

    def gradient(self) -> Tensor:
        """The gradients [B, *shape]."""
        return torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1, *self.shape) for p in self.params]
        )

    def move(self, change: Tensor, rate: float) -> None:
        """Parameters decay, apart from the gradient as in AdamW, and move by -rate times ``change`` [B, *shape]."""
        changes = [c.reshape(p.shape) for c, p in zip(change.split(self._counts), self.params, strict=True)]
        if self.group["weight_decay"]:
            torch._foreach_mul_(self.params, 1 - self.group["lr"] * self.group["weight_decay"])
        torch._foreach_add_(self.params, changes, alpha=-rate)
