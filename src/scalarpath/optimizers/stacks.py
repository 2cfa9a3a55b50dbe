"""Optimizers of many small matrices: those of one shape are stacked [B, m, n] and take every step together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

LARGE = 2**16  # numbers; moving a larger parameter to a stack costs more than the calls that this saves


class StackedOptimizer(torch.optim.Optimizer, ABC):
    """Splits the parameters of each group into matrices and stacks those of one shape.

    The matrices of a parameter are its last two dimensions that are longer than one; the others count matrices (of
    paths, of elements). A potential has tens of matrices of a few shapes, for which calls cost more than arithmetic. A
    parameter of more than LARGE numbers has a stack of its own.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        eps: float,
        **own: Any,
    ) -> None:
        """``own``: options of a group that the optimizer in question has besides."""
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**options, **own, "step": 0})
        self._stacks: list[list[Any]] | None = None  # of each group

    @abstractmethod
    def _shape(self, p: nn.Parameter, group: dict[str, Any]) -> tuple[int, ...]:
        """Rows and columns of the matrices of a parameter; (1,) for one whose numbers take steps of their own."""

    @abstractmethod
    def _stack(self, group: dict[str, Any], shape: tuple[int, ...], params: list[nn.Parameter]) -> Stack:
        """The matrices of one shape (vectors: (1,)) of a group."""

    @abstractmethod
    def _changes(self, group: dict[str, Any], stacks: list[Any]) -> list[Tensor]:
        """What is to be added to the stacks of a group, apart from decay; nothing for a step that moves nothing."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; a parameter without a gradient counts as one whose gradient is zero."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._stacks is None:
            self._stacks = self._stacked()
        for group, stacks in zip(self.param_groups, self._stacks, strict=True):
            group["step"] += 1
            parts = [stack.parts(c) for stack, c in zip(stacks, self._changes(group, stacks), strict=False)]
            if not parts:
                continue
            params = [p for stack in stacks for p in stack.params]
            if group["weight_decay"]:
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(params, [part for each in parts for part in each])
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state_dict)
        self._stacks = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._stacks = None

    def _stacked(self) -> list[list[Any]]:
        """The parameters of each group by the shape of their matrices."""
        stacks = []
        for group in self.param_groups:
            found: dict[tuple[tuple[int, ...], int], list[nn.Parameter]] = {}
            for number, p in enumerate(group["params"]):
                alone = number if p.numel() > LARGE else -1
                found.setdefault((self._shape(p, group), alone), []).append(p)
            stacks.append([self._stack(group, shape, params) for (shape, _), params in found.items()])
        return stacks


def matrix_sides(p: Tensor) -> tuple[int, ...]:
    """Rows and columns of the matrices of a parameter; one number or none where it has no matrices."""
    return tuple([size for size in p.shape if size > 1][-2:])


class Stack:
    """Parameters of one group with matrices of one shape, B matrices in all.

    What is known of their gradients is stacked; the optimizer's ``state`` holds the part of each parameter, as a view.
    """

    def __init__(self, shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        self.shape, self.params = shape, params
        self._counts = [p.numel() // math.prod(shape) for p in params]
        self._state = state

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
        """The gradients [B, *shape]; not to be changed."""
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1, *self.shape) for p in self.params]
        return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)

    def parts(self, whole: Tensor) -> list[Tensor]:
        """Of numbers [B, *shape] those of each parameter, in its shape."""
        return [part.reshape(p.shape) for part, p in zip(whole.split(self._counts), self.params, strict=True)]


class AdamStack(Stack):
    """mean, square: moments of the gradients, or of what is made of them, [B, *shape]."""

    def __init__(self, shape: tuple[int, ...], params: list[nn.Parameter], state: Any) -> None:
        super().__init__(shape, params, state)
        self.mean, self.square = self.kept("mean", *shape), self.kept("square", *shape)


def adam_changes(
    gradients: list[Tensor], stacks: Sequence[AdamStack], group: dict[str, Any], step: int
) -> list[Tensor]:
    """Adam's ``step``-th changes, from 1, of stacks with these gradients; their moments go on.

    The kernel is that of torch.optim.Adam(fused=True), for weights that are zero: one call and one pass over memory,
    where single operations need six of each for every stack.
    """
    changes = [torch.zeros_like(stack.mean) for stack in stacks]
    if not changes:
        return changes
    count = torch.tensor(float(step), device=changes[0].device)
    (beta1, beta2), means, squares = group["betas"], [s.mean for s in stacks], [s.square for s in stacks]
    torch._fused_adam_(
        changes, gradients, means, squares, [], [count] * len(changes), lr=group["lr"], beta1=beta1, beta2=beta2,
        weight_decay=0.0, eps=group["eps"], amsgrad=False, maximize=False,
    )  # fmt: skip
    return changes
