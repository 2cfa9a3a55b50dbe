"""The weighted sum over neighbours of ``nn/weighted_neighbour_sum.py`` in a C++ kernel, differentiable twice.

It reads the weights of pairs of edges as they are, and takes the gate as one more factor.
"""

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
from scalarpath.nn.path_groups import PathGroup, PlainGroup, TraceGroup

MOST_HARMONICS = 25  # up to degree 4: room for so many in the kernel


class Plan:
    """The groups of paths of a convolution as the kernel reads them (struct Group), and the shapes of the sums.

    ``channels`` and ``components`` (2l + 1) of every input; the first ``n_scalar`` groups have scalar output: their
    weights are the first block, those of the others the second, and the gate acts on them.
    """

    def __init__(
        self,
        groups: Sequence[PathGroup],
        n_scalar: int,
        n_harmonics: int,
        channels: Sequence[int],
        components: Sequence[int],
    ):
        self.n_harmonics, self.fits = n_harmonics, n_harmonics <= MOST_HARMONICS
        self.used = [any(group.source == source for group in groups) for source in range(len(channels))]
        rows, column, self.shapes = [], [0, 0], []
        for k, group in enumerate(groups):
            plain, trace, block = isinstance(group, PlainGroup), isinstance(group, TraceGroup), int(k >= n_scalar)
            c, m = channels[group.source], components[group.source]
            degree = 1 if plain else group.where.stop - group.where.start
            where = n_harmonics if plain else group.where.start
            rows.append([trace, degree, where, group.paths, m, c, block, column[block], group.source, 1 - block])
            column[block] += group.paths * c
            self.shapes.append((1, 1, c) if trace else (group.paths, degree * m, c))
        self.table = torch.tensor(rows, dtype=torch.int64)


def kernel_neighbour_sum(
    plan: Plan,
    geometry: EdgeGeometry,
    harmonics: Tensor,
    gate: Tensor | None,
    weights: Sequence[Tensor],
    features: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Sums of every group: [N, P, (2l + 1) M, C], or [N, 1, 1, C] for a trace.

    harmonics [N, K, D] and gate [N, K, 1] on the padded layout, weights [R, ..] per block, rows being pairs, of which
    those beyond the last are of no account, features [N, M, C] per input.
    """
    return _Sum.apply(plan, geometry, len(weights), harmonics, gate, *weights, *features)


class _Graph(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("atoms", "edges", "harmonics", "groups", "sources", "threads")),
        *((name, ctypes.c_void_p) for name in ("group", "first_edge", "neighbour", "slot", "pair", "pair_edge")),
    ]


class _Factors(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("y", "gate", "w", "stride", "h")]


def _graph(plan: Plan, geometry: EdgeGeometry) -> _Graph:
    """The graph for one call."""
    edges = geometry.centre.shape[0]
    indices = (geometry.first_edge, geometry.neighbour, geometry.slot, geometry.edge_pair, geometry.pair_edge)
    tables = [x.contiguous() for x in (plan.table, *indices)]
    sizes = (geometry.n_atoms, edges, plan.n_harmonics, len(plan.table), len(plan.used), library.threads_for(edges))
    graph = _Graph(*sizes, *addresses(tables))
    graph.kept_alive = tables
    return graph


class _Arguments:
    """Y, gate, W of every block and h of every input, contiguous, and where they lie."""

    def __init__(self, n_blocks: int, tensors: Sequence[Tensor | None]):
        self.tensors = [None if x is None else x.contiguous() for x in tensors]
        self.y, self.gate, *rest = self.tensors
        self.weights, self.features = rest[:n_blocks], rest[n_blocks:]
        w, h = addresses(self.weights), addresses(self.features)
        stride = (ctypes.c_int64 * n_blocks)(*(x.shape[1] for x in self.weights if x is not None))
        pointers = (ctypes.addressof(array) for array in (w, stride, h))
        self.factors = _Factors(address(self.y), address(self.gate), *pointers)
        self.factors.kept_alive = (w, stride, h)


class _Derivatives:
    """Room for the derivatives by harmonics, gate, weights and the features that are wanted."""

    def __init__(self, plan: Plan, arguments: _Arguments, geometry: EdgeGeometry, wanted: Sequence[bool]):
        # free places, and rows of no pair, are not written to
        self.y, self.gate = (None if x is None else torch.zeros_like(x) for x in (arguments.y, arguments.gate))
        self.weights = [torch.empty_like(x) for x in arguments.weights if x is not None]
        for values in self.weights:
            values[geometry.pair_edge.shape[0] :] = 0.0
        self.features = [
            torch.empty_like(x) if x is not None and want and used else None
            for x, want, used in zip(arguments.features, wanted, plan.used, strict=True)
        ]

    def pointers(self) -> tuple[Any, ...]:
        """As the kernels take them."""
        return address(self.y), address(self.gate), addresses(self.weights), addresses(self.features)

    def by_arguments(self) -> tuple[Tensor | None, ...]:
        """In the order of the arguments."""
        return self.y, self.gate, *self.weights, *self.features


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, geometry: EdgeGeometry, n_blocks: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.plan, ctx.geometry, ctx.n_blocks = plan, geometry, n_blocks
        ctx.save_for_backward(*tensors)
        arguments = _Arguments(n_blocks, tensors)
        out = [tensors[0].new_empty(geometry.n_atoms, *shape) for shape in plan.shapes]
        kernel = function("neighbour_sum", tensors[0].dtype)
        kernel(ctypes.byref(_graph(plan, geometry)), ctypes.byref(arguments.factors), addresses(out))
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        wanted = ctx.needs_input_grad[5 + ctx.n_blocks :]
        given = (ctx.plan, ctx.geometry, ctx.n_blocks, wanted)
        return None, None, None, *_FirstDerivatives.apply(*given, *gradients, *ctx.saved_tensors)


class _FirstDerivatives(torch.autograd.Function):
    """Derivatives of sum(G T) by Y, gate, W and those h that are wanted."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, geometry: EdgeGeometry, n_blocks: int, wanted: Sequence[bool], *tensors: Tensor
    ) -> tuple[Tensor | None, ...]:
        ctx.plan, ctx.geometry, ctx.n_blocks = plan, geometry, n_blocks
        ctx.save_for_backward(*tensors)
        n = len(plan.shapes)
        gradients, arguments = [g.contiguous() for g in tensors[:n]], _Arguments(n_blocks, tensors[n:])
        out = _Derivatives(plan, arguments, geometry, wanted)
        graph, factors = _graph(plan, geometry), arguments.factors
        kernel = function("neighbour_sum_first", tensors[0].dtype)
        kernel(ctypes.byref(graph), ctypes.byref(factors), addresses(gradients), *out.pointers())
        return out.by_arguments()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Any, ...]:
        """Derivatives of these, contracted with the tangents, by G, Y, gate, W and h."""
        plan, geometry, n = ctx.plan, ctx.geometry, len(ctx.plan.shapes)
        tensors = ctx.saved_tensors
        gradients, arguments = [g.contiguous() for g in tensors[:n]], _Arguments(ctx.n_blocks, tensors[n:])
        # an input whose derivative was not wanted has no tangent
        complete = [
            torch.zeros_like(x) if t is None and x is not None else t
            for t, x in zip(tangents, arguments.tensors, strict=True)
        ]
        moved = _Arguments(ctx.n_blocks, complete)
        out = _Derivatives(plan, arguments, geometry, ctx.needs_input_grad[6 + n + ctx.n_blocks :])
        by_gradients = [torch.empty_like(g) for g in gradients]
        graph, factors, turned = _graph(plan, geometry), arguments.factors, moved.factors
        kernel = function("neighbour_sum_second", tensors[0].dtype)
        kernel(
            ctypes.byref(graph), ctypes.byref(factors), ctypes.byref(turned), addresses(gradients),
            addresses(by_gradients), *out.pointers(),
        )  # fmt: skip
        return None, None, None, None, *by_gradients, *out.by_arguments()
