"""Clebsch-Gordan couplings of the sums over neighbours, in a C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scalarpath.nn.cpu.structs import Indices, Numbers, Struct, Tensors
from scalarpath.nn.cpu.twice_differentiable import Call, Kernel


@dataclass
class Entry(Struct):
    """One coefficient, for all channels of a path."""

    sum: int
    row: int  # where the channels begin among the numbers of an atom in this sum
    target: int
    column: int  # where they begin among those of an atom in this target
    channels: int


class CoupledPath(NamedTuple):
    """Coefficients [2 l3 + 1, components], the group that has the sum of the path, its number there, and its target."""

    coupling: Tensor
    group: int
    number: int
    target: int


class CouplingPlan:
    """The coefficients of all paths that are not zero.

    ``sums``: shapes (paths, components, channels) of the groups; ``targets``: shapes (2 l3 + 1, fan_out). Paths stand
    in a target in the order in which they are given.
    """

    def __init__(
        self, paths: Sequence[CoupledPath], sums: Sequence[tuple[int, int, int]], targets: Sequence[tuple[int, int]]
    ):
        self.sums, self.targets = [list(shape) for shape in sums], [list(shape) for shape in targets]
        entries, coefficients, begin = [], [], [0] * len(targets)
        for coupling, group, number, target in paths:
            _, components, channels = sums[group]
            for m, k in coupling.nonzero().tolist():
                column = m * targets[target][1] + begin[target]
                entries.append(Entry(group, (number * components + k) * channels, target, column, channels))
                coefficients.append(float(coupling[m, k]))
            begin[target] += channels
        self.entries = torch.tensor([astuple(entry) for entry in entries], dtype=torch.int64)
        self.coefficients = torch.tensor(coefficients, dtype=torch.float64)
        self.sum_sizes, self.target_sizes = (
            torch.tensor([torch.Size(shape).numel() for shape in shapes]) for shapes in (sums, targets)
        )


def coupled(plan: CouplingPlan, sums: Sequence[Tensor]) -> list[Tensor]:
    """Sums of the groups [N, paths, components, C] -> per target [N, 2 l3 + 1, fan_out]; differentiates twice."""
    kernel = Couplings(
        atoms=len(sums[0]), entries=len(plan.entries), sums=len(plan.sums), targets=len(plan.targets),
        threads=torch.get_num_threads(), transposed=0, entry=plan.entries,
        coefficient=plan.coefficients.to(sums[0].dtype), sum_size=plan.sum_sizes, target_size=plan.target_sizes,
    )  # fmt: skip
    return list(_Coupled.apply(plan, kernel, *sums))


@dataclass
class Couplings(Kernel):
    """The linear map from sums to targets, or its transpose."""

    name = "couplings"

    atoms: int
    entries: int
    sums: int
    targets: int
    threads: int
    transposed: int
    entry: Indices  # an ``Entry`` per row
    coefficient: Numbers
    sum_size: Indices  # numbers per atom
    target_size: Indices


class _Coupled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: CouplingPlan, kernel: Couplings, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.plan, ctx.kernel = plan, kernel
        inputs: Tensors = [x.contiguous() for x in tensors]
        shapes = plan.sums if kernel.transposed else plan.targets
        values = [inputs[0].new_empty(kernel.atoms, *shape) for shape in shapes]
        kernel.run(Call(inputs, values=values))
        return tuple(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        turned = replace(ctx.kernel, transposed=1 - ctx.kernel.transposed)
        return None, None, *_Coupled.apply(ctx.plan, turned, *gradients)
