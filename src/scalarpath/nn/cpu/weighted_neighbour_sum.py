"""The weighted sum over neighbours of ``nn/convolution`` in a C++ kernel, differentiable twice, coupled in another.

It reads the weights of pairs of edges as they are, and takes the gate as one more factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.convolution.path_groups import PathGroup, PlainGroup, TraceGroup
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.path_coupling import PathCouplings
from scalarpath.nn.cpu.structs import PYTHON_ONLY, Indices, Struct, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel, empty_like_wanted

MOST_HARMONICS = 25  # up to degree 4: room for so many in the kernel


@dataclass
class Group(Struct):
    """A group of paths, see ``PathGroup``."""

    trace: int  # whether it is one (``TraceGroup``)
    degree: int  # 2l + 1 of the harmonic, or 1 for the constant
    where: int  # first column of the harmonic; behind the last one for the constant
    paths: int
    components: int  # 2l + 1 of the input
    channels: int
    block: int  # of the weights
    column: int  # where the weights begin in their block
    source: int  # index of the input
    scalar: int  # whether the gate acts on it


class Plan:
    """The groups of paths of a convolution as the kernel reads them, and the shapes of the sums.

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
            rows.append(Group(trace, degree, where, group.paths, m, c, block, column[block], group.source, 1 - block))
            column[block] += group.paths * c
            self.shapes.append((1, 1, c) if trace else (group.paths, degree * m, c))
        self.table = torch.tensor([astuple(row) for row in rows], dtype=torch.int64)


class Planned(Protocol):
    """What the kernels read of ``ChannelwiseConvolution``."""

    plan: Plan
    path_couplings: PathCouplings


def kernel_convolution(
    convolution: Planned,
    features: Sequence[Tensor],
    weights: Sequence[Tensor],
    harmonics: Tensor,
    geometry: EdgeGeometry,
    gate: Tensor | None,
) -> list[Tensor] | None:
    """Every target [N, 2l + 1, fan_out], see ``ChannelwiseConvolution``; None beyond MOST_HARMONICS.

    harmonics [N, K, D] and gate [N, K, 1] on the padded layout, weights per block on the pair layout (see
    ``with_zero_row``), features [N, M, C] per input.
    """
    plan = convolution.plan
    if plan.n_harmonics > MOST_HARMONICS:
        return None
    edges = len(geometry.centre)
    kernel = NeighbourSum(
        atoms=geometry.n_atoms, edges=edges, harmonics=plan.n_harmonics, groups=len(plan.table), blocks=len(weights),
        sources=len(plan.used), threads=library.threads_for(edges), group=plan.table,
        stride=torch.tensor([w.shape[1] for w in weights]),
        first_edge=geometry.first_edge, neighbour=geometry.neighbour, slot=geometry.slot, pair=geometry.edge_pair,
        pair_edge=geometry.pair_edge, plan=plan,
    )  # fmt: skip
    # per group [N, P, (2l + 1) M, C], or [N, 1, 1, C] for a trace
    sums = twice_differentiable.apply(kernel, harmonics, gate, *weights, *features)
    return convolution.path_couplings(sums, kernel.threads)


@dataclass
class NeighbourSum(Kernel):
    """A function of Y, gate, W of every block and h of every source."""

    name = "neighbour_sum"

    atoms: int
    edges: int
    harmonics: int
    groups: int
    blocks: int
    sources: int
    threads: int
    group: Indices  # a ``Group`` per row
    stride: Indices  # row length of every block of weights
    first_edge: Indices
    neighbour: Indices
    slot: Indices
    pair: Indices
    pair_edge: Indices
    plan: Plan = field(metadata=PYTHON_ONLY)

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the sums of every group."""
        return [inputs[0].new_empty(self.atoms, *shape) for shape in self.plan.shapes]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradients by harmonics, gate, weights and those features that are wanted."""
        # empty slots and the zero row are not written to
        factors = [None if x is None else torch.zeros_like(x) for x in inputs[:2]]
        weights = [torch.empty_like(x) for x in inputs[2 : 2 + self.blocks]]
        for values in weights:
            values[len(self.pair_edge) :] = 0.0
        used = [want and used for want, used in zip(wanted[2 + self.blocks :], self.plan.used, strict=True)]
        return [*factors, *weights, *empty_like_wanted(inputs[2 + self.blocks :], used)]
