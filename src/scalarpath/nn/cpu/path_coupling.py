"""Clebsch-Gordan couplings of sums over neighbours in a C++ kernel: a linear map, whose derivative is its transpose."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.nn.cpu.library import function
from scalarpath.nn.cpu.structs import Indices, Numbers, Struct, Tensors


@dataclass
class CoupledPath(Struct):
    """The matrix of one path: from which tensor to which, and how the numbers lie in them."""

    source: int  # index of the tensor that is read,
    source_atom: int  # its numbers per atom,
    source_row: int  # per component,
    source_start: int  # and before those of the path
    target: int  # the same of the tensor that is written to
    target_atom: int
    target_row: int
    target_start: int
    channels: int
    first_row: int  # of the matrix among all rows
    rows: int


@dataclass
class PathCoupling(Struct):
    """A run of the kernel."""

    atoms: int
    paths: int
    threads: int
    path: Indices  # a ``CoupledPath`` per row
    first_entry: Indices  # of every row, and, last, their number
    column: Indices  # of every entry
    coefficient: Numbers
    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True)
class PathMatrix:
    """What couples one path: rows of ``matrix`` are components of the target, columns those of the sum.

    The sum is the one at ``position`` of the tensor of ``group``; the target has the channels from ``column`` on.
    """

    group: int
    position: int
    target: int
    column: int
    channels: int
    matrix: Tensor


class PathCouplings(nn.Module):
    """Sums per group [N, P, M, C] -> per target [N, 2l + 1, channels of all its paths].

    ``sums`` and ``targets``: these shapes without the atoms.
    """

    def __init__(self, paths: Sequence[PathMatrix], sums: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]):
        super().__init__()
        self.shapes = ([tuple(shape) for shape in targets], [tuple(shape) for shape in sums])
        self.tables = []  # of the map and of its transpose
        for transposed in (False, True):
            rows, first_entry, columns, coefficients = [], [0], [], []
            for path in paths:
                (n_paths, components, channels), (n_out, width) = sums[path.group], targets[path.target]
                one = components * channels
                ends = (
                    (path.group, n_paths * one, channels, path.position * one),
                    (path.target, n_out * width, width, path.column),
                )
                matrix = path.matrix.T if transposed else path.matrix
                source, target = reversed(ends) if transposed else ends
                row = CoupledPath(*source, *target, path.channels, len(first_entry) - 1, len(matrix))
                rows.append(astuple(row))
                for entries in matrix:
                    where = entries.nonzero().flatten().tolist()
                    columns += where
                    coefficients += [float(entries[k]) for k in where]
                    first_entry.append(len(columns))
            self.tables.append([torch.tensor(table, dtype=torch.int64) for table in (rows, first_entry, columns)])
            numbers = torch.tensor(coefficients, dtype=torch.float64)
            self.register_buffer(f"coefficient_{int(transposed)}", numbers, persistent=False)

    def forward(self, sums: Sequence[Tensor], threads: int) -> list[Tensor]:
        """Every target, from contiguous sums on a CPU; differentiates as often as wanted."""
        return list(_Coupled.apply(self, False, threads, *sums))

    def mapped(self, transposed: bool, threads: int, inputs: Tensors) -> list[Tensor]:
        """The map, or its transpose, of contiguous tensors."""
        atoms = len(inputs[0])
        outputs = [inputs[0].new_empty(atoms, *shape) for shape in self.shapes[transposed]]
        path, first_entry, column = self.tables[transposed]
        struct = PathCoupling(
            atoms=atoms, paths=len(path), threads=threads, path=path, first_entry=first_entry, column=column,
            coefficient=getattr(self, f"coefficient_{int(transposed)}"), inputs=inputs, outputs=outputs,
        ).packed()  # fmt: skip
        function("path_coupling", inputs[0].dtype)(ctypes.byref(struct), None)
        return outputs


class _Coupled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, couplings: PathCouplings, transposed: bool, threads: int, *inputs: Tensor) -> Any:
        ctx.given = couplings, transposed, threads
        return tuple(couplings.mapped(transposed, threads, [x.contiguous() for x in inputs]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        couplings, transposed, threads = ctx.given
        return None, None, None, *_Coupled.apply(couplings, not transposed, threads, *gradients)
