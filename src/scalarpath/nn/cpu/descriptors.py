"""Descriptors of neighbourhoods (``heads/descriptors.py``) in a C++ kernel, differentiable twice."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library
from scalarpath.nn.cpu.library import address, addresses, function

MOST_SHELLS = 16  # room for so many in the kernel


def kernel_descriptors(
    geometry: EdgeGeometry, radii: Tensor, inverse_widths: Tensor, weights: Tensor, statistics: Sequence[Tensor]
) -> Tensor:
    """Standardised descriptors [N, K + 3] from radii [K], inverse widths [K] and neighbour weights [K, S] of shells.

    ``statistics``: mean coordination [S, K], mean and spread [S, K + 3], which get no derivatives.
    """
    shells = geometry.distances.new_empty(geometry.distances.shape[0], radii.shape[0])
    kernel = _Descriptors(geometry, statistics, shells)
    return _Value.apply(kernel, geometry.distances, geometry.units, radii, inverse_widths, weights)


class _Neighbourhood(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("atoms", "edges", "shells", "species", "threads")),
        *((name, ctypes.c_void_p) for name in ("first_edge", "neighbour", "element")),
    ]


@dataclass
class _Descriptors:
    """A function of r [E, 1], u [E, 3], radii, inverse widths and weights.

    ``shells`` of all edges [E, K] are made with the value and read by the derivatives.
    """

    geometry: EdgeGeometry
    statistics: Sequence[Tensor]
    shells: Tensor

    def empty(self, inputs: Sequence[Tensor]) -> Tensor:
        """Room for the descriptors."""
        return inputs[0].new_empty(self.geometry.n_atoms, self.statistics[1].shape[1])

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
        geometry, (edges, shells), n_species = self.geometry, self.shells.shape, inputs[4].shape[1]
        indices = [x.contiguous() for x in (geometry.first_edge, geometry.neighbour, geometry.species)]
        sizes = (geometry.n_atoms, edges, shells, n_species, library.threads_for(edges))
        graph = _Neighbourhood(*sizes, *addresses(indices))
        cutoffs = None if geometry.edge_cutoff is None else geometry.edge_cutoff.contiguous()
        statistics = [x.contiguous() for x in self.statistics]
        kernel = function("descriptors", self.shells.dtype)
        kernel(
            ctypes.byref(graph), address(cutoffs), ctypes.c_double(geometry.cutoff), address(self.shells),
            addresses(inputs), None if moved is None else addresses(moved), addresses(statistics),
            address(gradient), addresses([value, *by_inputs]),
        )  # fmt: skip


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: _Descriptors, *inputs: Tensor) -> Tensor:
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
    def forward(ctx: Any, kernel: _Descriptors, gradient: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
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
