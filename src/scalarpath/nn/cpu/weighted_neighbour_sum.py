"""The weighted sum over neighbours of ``nn/weighted_neighbour_sum.py`` in a C++ kernel, differentiable twice.

It reads the weights of pairs of edges as they are, and takes the gate as one more factor.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.convolution.path_groups import PathGroup, PlainGroup, TraceGroup
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.library import address, addresses, function
from scalarpath.nn.cpu.twice_differentiable import Call, Inputs, empty_like_wanted

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
        self.n_harmonics = n_harmonics
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


class Planned(Protocol):
    """What the kernel reads of ``ChannelwiseConvolution``."""

    plan: Plan


def kernel_neighbour_sum(
    convolution: Planned,
    features: Sequence[Tensor],
    weights: Sequence[Tensor],
    harmonics: Tensor,
    geometry: EdgeGeometry,
    gate: Tensor | None,
) -> list[Sequence[Tensor]] | None:
    """Sums of every group and path, see ``ChannelwiseConvolution``; None beyond MOST_HARMONICS.

    harmonics [N, K, D] and gate [N, K, 1] on the padded layout, weights per block on the pair layout (see
    ``with_zero_row``), features [N, M, C] per input.
    """
    plan = convolution.plan
    if plan.n_harmonics > MOST_HARMONICS:
        return None
    kernel = _Sum(plan, geometry, len(weights))
    # per group [N, P, (2l + 1) M, C], or [N, 1, 1, C] for a trace
    sums = twice_differentiable.apply(kernel, harmonics, gate, *weights, *features)
    return [values.unbind(1) for values in sums]


class _Graph(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("atoms", "edges", "harmonics", "groups", "sources", "threads")),
        *((name, ctypes.c_void_p) for name in ("group", "first_edge", "neighbour", "slot", "pair", "pair_edge")),
    ]


class _Factors(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("y", "gate", "w", "stride", "h")]


@dataclass
class _Sum:
    """A function of Y, gate, W of every block and h of every input."""

    plan: Plan
    geometry: EdgeGeometry
    n_blocks: int

    def values(self, inputs: Inputs) -> list[Tensor]:
        """Room for the sums of every group."""
        return [inputs[0].new_empty(self.geometry.n_atoms, *shape) for shape in self.plan.shapes]

    def derivatives(self, inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the derivatives by harmonics, gate, weights and those features that are wanted."""
        # empty slots and the zero row are not written to
        factors = [None if x is None else torch.zeros_like(x) for x in inputs[:2]]
        weights = [torch.empty_like(x) for x in inputs[2 : 2 + self.n_blocks]]
        for values in weights:
            values[self.geometry.pair_edge.shape[0] :] = 0.0
        used = [want and used for want, used in zip(wanted[2 + self.n_blocks :], self.plan.used, strict=True)]
        return [*factors, *weights, *empty_like_wanted(inputs[2 + self.n_blocks :], used)]

    def run(self, call: Call) -> None:
        """See ``Kernel``."""
        inputs, moved, gradients, values, by_inputs = call
        graph, factors, dtype = self._graph(), self._factors(inputs), inputs[0].dtype
        if by_inputs is None:
            function("neighbour_sum", dtype)(ctypes.byref(graph), ctypes.byref(factors), addresses(values))
            return
        by_y, by_gate, *rest = by_inputs
        by_w, by_h = rest[: self.n_blocks], rest[self.n_blocks :]
        results = (address(by_y), address(by_gate), addresses(by_w), addresses(by_h))
        if moved is None:
            kernel = function("neighbour_sum_first", dtype)
            kernel(ctypes.byref(graph), ctypes.byref(factors), addresses(gradients), *results)
            return
        tangents, kernel = self._factors(moved), function("neighbour_sum_second", dtype)
        kernel(
            ctypes.byref(graph), ctypes.byref(factors), ctypes.byref(tangents), addresses(gradients),
            addresses(values), *results,
        )  # fmt: skip

    def _graph(self) -> _Graph:
        plan, geometry = self.plan, self.geometry
        edges = geometry.centre.shape[0]
        indices = (geometry.first_edge, geometry.neighbour, geometry.slot, geometry.edge_pair, geometry.pair_edge)
        tables = [x.contiguous() for x in (plan.table, *indices)]
        sizes = (geometry.n_atoms, edges, plan.n_harmonics, len(plan.table), len(plan.used), library.threads_for(edges))
        graph = _Graph(*sizes, *addresses(tables))
        graph.kept_alive = tables
        return graph

    def _factors(self, tensors: Inputs) -> _Factors:
        y, gate, *rest = tensors
        weights, features = rest[: self.n_blocks], rest[self.n_blocks :]
        w, h = addresses(weights), addresses(features)
        stride = (ctypes.c_int64 * self.n_blocks)(*(x.shape[1] for x in weights))
        factors = _Factors(address(y), address(gate), *(ctypes.addressof(array) for array in (w, stride, h)))
        factors.kept_alive = (w, stride, h)
        return factors
