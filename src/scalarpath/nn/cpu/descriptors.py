"""Descriptors of neighbourhoods (``heads/descriptors.py``) in a C++ kernel, differentiable twice."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
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
    inputs = (geometry.distances, geometry.units, radii, inverse_widths, weights)
    return _Descriptors.apply(geometry, statistics, *inputs)


class _Neighbourhood(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("atoms", "edges", "shells", "species", "threads")),
        *((name, ctypes.c_void_p) for name in ("first_edge", "neighbour", "element")),
    ]


def _run(
    geometry: EdgeGeometry,
    statistics: Sequence[Tensor],
    inputs: Sequence[Tensor],
    moved: Sequence[Tensor] | None,
    gradient: Tensor | None,
    descriptors: Tensor | None,
    by_inputs: Sequence[Tensor],
) -> None:
    """Call the kernel; it fills ``descriptors`` and, with a gradient by these, ``by_inputs``."""
    r, weights = inputs[0], inputs[4]
    edges, shells = r.shape[0], weights.shape[0]
    indices = [x.contiguous() for x in (geometry.first_edge, geometry.neighbour, geometry.species)]
    sizes = (geometry.n_atoms, edges, shells, weights.shape[1], library.threads_for(edges))
    graph = _Neighbourhood(*sizes, *addresses(indices))
    cutoff = r.new_full((edges, 1), geometry.cutoff) if geometry.edge_cutoff is None else geometry.edge_cutoff
    kernel = function("descriptors", r.dtype)
    kernel(
        ctypes.byref(graph), addresses([*inputs, cutoff]), None if moved is None else addresses([*moved, cutoff]),
        addresses(statistics), address(gradient), addresses([descriptors, *by_inputs]),
    )  # fmt: skip


class _Descriptors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, geometry: EdgeGeometry, statistics: Sequence[Tensor], *inputs: Tensor) -> Tensor:
        ctx.geometry, ctx.statistics = geometry, statistics
        ctx.save_for_backward(*inputs)
        contiguous = [x.contiguous() for x in inputs]
        out = inputs[0].new_empty(geometry.n_atoms, statistics[1].shape[1])
        _run(geometry, statistics, contiguous, None, None, out, [])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return None, None, *_FirstDerivatives.apply(ctx.geometry, ctx.statistics, gradient, *ctx.saved_tensors)


class _FirstDerivatives(torch.autograd.Function):
    """Derivatives by the inputs, contracted with g [N, K + 3]."""

    @staticmethod
    def forward(
        ctx: Any, geometry: EdgeGeometry, statistics: Sequence[Tensor], gradient: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.geometry, ctx.statistics = geometry, statistics
        ctx.save_for_backward(gradient, *inputs)
        contiguous = [x.contiguous() for x in inputs]
        out = [torch.empty_like(x) for x in contiguous]
        _run(geometry, statistics, contiguous, None, gradient.contiguous(), None, out)
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Any, ...]:
        """Where the inputs move along the tangents: how descriptors and first derivatives do."""
        gradient, *inputs = (x.contiguous() for x in ctx.saved_tensors)
        moved = [x.contiguous() for x in tangents]
        by_gradient, out = torch.empty_like(gradient), [torch.empty_like(x) for x in inputs]
        _run(ctx.geometry, ctx.statistics, inputs, moved, gradient, by_gradient, out)
        return None, None, by_gradient, *out
