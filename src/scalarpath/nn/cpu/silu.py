"""The activation silu in a C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalarpath.nn.cpu import twice_differentiable
from scalarpath.nn.cpu.structs import Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel


def kernel_silu(x: Tensor) -> Tensor:
    """x sigmoid(x)."""
    (values,) = twice_differentiable.apply(SiluKernel(x.numel(), torch.get_num_threads()), x)
    return values


@dataclass
class SiluKernel(Kernel):
    """A function of x."""

    name = "silu"

    size: int
    threads: int

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the values."""
        return [torch.empty_like(inputs[0])]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradient."""
        return [torch.empty_like(inputs[0])]
