"""Kernels that know their own first and second derivatives, as functions for autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scalarpath.nn.cpu.library import addresses

Inputs = Sequence[Any]  # contiguous tensors, or None where an optional one is left out


class Call(NamedTuple):
    """What a kernel is given: with ``gradients`` by the values it makes derivatives by the inputs, else the values.

    With ``moved`` it makes both, of each what it changes where the inputs move along these tangents.
    """

    inputs: Inputs
    moved: Inputs | None = None
    gradients: Sequence[Tensor] | None = None
    values: Sequence[Tensor] | None = None
    by_inputs: Inputs | None = None

    def pointers(self) -> list[Any]:
        """The same as arrays of addresses, which most kernels take last."""
        return [addresses(tensors) for tensors in self]


class Kernel(Protocol):
    """A function of some tensors with several values."""

    def values(self, inputs: Inputs) -> list[Tensor]:
        """Room for the values."""

    def derivatives(self, inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for derivatives by those inputs that are wanted, or more."""

    def run(self, call: Call) -> None:
        """Fill values and derivatives, where there is room."""


def apply(kernel: Kernel, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    """The values of the kernel; they differentiate twice."""
    return _Values.apply(kernel, *inputs)


def empty_like_wanted(inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
    """Room for the derivatives by the inputs that are wanted, not filled."""
    return [torch.empty_like(x) if x is not None and want else None for x, want in zip(inputs, wanted, strict=True)]


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        ctx.kernel = kernel
        ctx.save_for_backward(*inputs)
        contiguous = _contiguous(inputs)
        values = kernel.values(contiguous)
        kernel.run(Call(contiguous, values=values))
        return tuple(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        wanted = _wanted(ctx, inputs)
        return None, *_Derivatives.apply(ctx.kernel, wanted, len(gradients), *gradients, *inputs)


class _Derivatives(torch.autograd.Function):
    """Derivatives by the inputs, contracted with gradients by the values."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, wanted: Sequence[bool], n: int, *tensors: Any) -> tuple[Tensor | None, ...]:
        ctx.kernel, ctx.n = kernel, n
        ctx.save_for_backward(*tensors)
        gradients, inputs = _contiguous(tensors[:n]), _contiguous(tensors[n:])
        by_inputs = kernel.derivatives(inputs, wanted)
        kernel.run(Call(inputs, gradients=gradients, by_inputs=by_inputs))
        return tuple(by_inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """What values and derivatives change where the inputs move along the tangents: those of the derivatives."""
        gradients, inputs = _contiguous(ctx.saved_tensors[: ctx.n]), _contiguous(ctx.saved_tensors[ctx.n :])
        # an input whose derivative was not wanted does not move
        moved = [
            torch.zeros_like(x) if x is not None and t is None else t for x, t in zip(inputs, tangents, strict=True)
        ]
        by_gradients = ctx.kernel.values(inputs)
        by_inputs = ctx.kernel.derivatives(inputs, ctx.needs_input_grad[3 + ctx.n :])
        ctx.kernel.run(Call(inputs, _contiguous(moved), gradients, by_gradients, by_inputs))
        return None, None, None, *by_gradients, *by_inputs


def _wanted(ctx: Any, inputs: Inputs) -> list[bool]:
    """By which inputs of a function the running backward pass wants derivatives.

    ``ctx.needs_input_grad`` was settled in the forward pass and counts every parameter; a pass that asks for forces
    wants none of these.
    """
    edges = iter(ctx.next_functions)  # of the inputs that are tensors
    return [x is not None and _will_run(next(edges)[0]) for x in inputs]


def _will_run(node: Any) -> bool:
    if node is None:
        return False
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # a leaf that was asked for
        return True


def _contiguous(tensors: Sequence[Tensor | None]) -> list[Any]:
    return [None if x is None else x.contiguous() for x in tensors]
