"""Functions whose kernel makes values, first and second derivatives, as operations of autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Kernel(Protocol):
    """One function of some inputs, with whatever else it depends on."""

    def empty(self, inputs: Sequence[Tensor]) -> Tensor:
        """Room for its value."""

    def run(
        self,
        inputs: Sequence[Tensor],
        moved: Sequence[Tensor] | None,
        gradient: Tensor | None,
        value: Tensor | None,
        by_inputs: Sequence[Tensor],
    ) -> None:
        """Fill ``value``, and, with a gradient by it, ``by_inputs``.

        With ``moved`` both get what they change where the inputs move along these tangents. All tensors are contiguous.
        """


def evaluated(kernel: Kernel, *inputs: Tensor) -> Tensor:
    """The value of the kernel's function; differentiates twice."""
    return _Value.apply(kernel, *inputs)


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *inputs: Tensor) -> Tensor:
        ctx.kernel = kernel
        ctx.save_for_backward(*inputs)
        out = kernel.empty(inputs)
        kernel.run([x.contiguous() for x in inputs], None, None, out, [])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return None, *_FirstDerivatives.apply(ctx.kernel, gradient, *ctx.saved_tensors)


class _FirstDerivatives(torch.autograd.Function):
    """Derivatives by the inputs, contracted with a gradient by the value."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, gradient: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.kernel = kernel
        ctx.save_for_backward(gradient, *inputs)
        contiguous = [x.contiguous() for x in inputs]
        by_inputs = [torch.empty_like(x) for x in contiguous]
        kernel.run(contiguous, None, gradient.contiguous(), None, by_inputs)
        return tuple(by_inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Any, ...]:
        """The gradient and first derivatives of f along the tangents: those of the first derivatives, contracted."""
        gradient, *inputs = (x.contiguous() for x in ctx.saved_tensors)
        by_gradient, by_inputs = torch.empty_like(gradient), [torch.empty_like(x) for x in inputs]
        ctx.kernel.run(inputs, [x.contiguous() for x in tangents], gradient, by_gradient, by_inputs)
        return None, by_gradient, *by_inputs
