"""Kernels that know their own first and second derivatives, as functions of autograd."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scalarpath.nn.cpu.library import function
from scalarpath.nn.cpu.structs import Struct, Tensors


@dataclass
class Call(Struct):
    """What one run of a kernel reads (``inputs``, ``tangents``, ``gradients``) and fills (the other two).

    There are three kinds of run:

    * inputs alone: ``values`` become the values of the function;
    * and ``gradients`` of some scalar by the values: ``by_inputs`` become its gradients by the inputs (the
      vector-Jacobian product, vjp);
    * and ``tangents`` of the inputs: ``values`` and ``by_inputs`` become the tangents of both: what they change at
      first order where the inputs change by their tangents (the jvp, and the jvp of the vjp).
    """

    inputs: Tensors
    tangents: Tensors | None = None
    gradients: Tensors | None = None
    values: Tensors | None = None
    by_inputs: Tensors | None = None


class Kernel(Struct):
    """A function of some tensors with several values, in C++; the fields are what it reads besides its inputs."""

    name: ClassVar[str]  # of the function in C++

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Make room for the values."""
        raise NotImplementedError

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Make room for the gradients by those inputs that are wanted, or by more."""
        raise NotImplementedError

    def tangents(self, inputs: Tensors, given: Tensors) -> list[Tensor | None]:
        """Tangents of the inputs from those that are given: an input by which no gradient was wanted has none."""
        return [torch.zeros_like(x) if x is not None and t is None else t for x, t in zip(inputs, given, strict=True)]

    def run(self, call: Call) -> None:
        """Fill what the call asks for, see ``Call``."""
        tensors = call.packed()
        function(self.name, call.inputs[0].dtype)(ctypes.byref(self._struct), ctypes.byref(tensors))

    @functools.cached_property
    def _struct(self) -> ctypes.Structure:
        return self.packed()


def apply(kernel: Kernel, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    """The values of the kernel; they differentiate twice."""
    return _Values.apply(kernel, *inputs)


def empty_like_wanted(inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
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
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        """The derivatives of the vjp: by the gradients the jvp, by the inputs the jvp of the vjp."""
        gradients, inputs = _contiguous(ctx.saved_tensors[: ctx.n]), _contiguous(ctx.saved_tensors[ctx.n :])
        tangents = ctx.kernel.tangents(inputs, given)
        by_gradients = ctx.kernel.values(inputs)
        by_inputs = ctx.kernel.derivatives(inputs, ctx.needs_input_grad[3 + ctx.n :])
        ctx.kernel.run(Call(inputs, _contiguous(tangents), gradients, by_gradients, by_inputs))
        return None, None, None, *by_gradients, *by_inputs


def _wanted(ctx: Any, inputs: Tensors) -> list[bool]:
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
