"""Ewald's sum over the reciprocal lattice (``heads/coulomb.py``) in a C++ kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scalarpath.nn.cpu.structs import Numbers
from scalarpath.nn.cpu.twice_differentiable import Call, Kernel

WORK_PER_THREAD = 100_000  # atoms times waves, at least; with less a second thread costs more than it takes over


def kernel_reciprocal_sum(
    pos: Tensor, q: Tensor, reciprocal: Tensor, most: list[int], factor: float, width: float, last: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Potential [N], field [N, 3] and stress [3, 3], without derivatives."""
    atoms, (a, b, c) = len(q), most
    work = atoms * (a + 1) * (2 * b + 1) * (2 * c + 1)
    kernel = ReciprocalSum(
        atoms=atoms, threads=max(1, min(torch.get_num_threads(), work // WORK_PER_THREAD)), most_a=a, most_b=b,
        most_c=c, factor=factor, width=width, last=last, reciprocal=reciprocal,
    )  # fmt: skip
    values = [torch.empty_like(q), torch.empty_like(pos), torch.empty_like(reciprocal)]
    kernel.run(Call([pos.contiguous(), q.contiguous()], values=values))
    return values[0], values[1], values[2]


@dataclass
class ReciprocalSum(Kernel):
    """Of positions [N, 3] and charges [N]; it is not differentiated."""

    name = "reciprocal_sum"

    atoms: int
    threads: int
    most_a: int
    most_b: int
    most_c: int
    factor: float
    width: float
    last: float
    reciprocal: Numbers
