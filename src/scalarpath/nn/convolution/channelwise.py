"""Channelwise tensor product with the harmonics of the edges, summed over neighbours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import pairs_to_padded_blocks
from scalarpath.nn.angular import block, clebsch_gordan, couplings
from scalarpath.nn.convolution.path_groups import GatedGroup, PathGroup, PlainGroup, TraceGroup
from scalarpath.nn.convolution.weighted_neighbour_sum import weighted_neighbour_sum
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.couplings import CoupledPath, CouplingPlan
from scalarpath.nn.cpu.weighted_neighbour_sum import Plan, kernel_messages

if TYPE_CHECKING:
    from e3nn import o3


class ChannelwiseConvolution(nn.Module):
    """A_i^{l3} = sum_j W_ij^path CG(h_j^{l1}, Y^{l2}(r_ij)) for every path (l1, l2, l3), each channel by itself.

    The coupling is linear in Y, so it is applied to the sum over neighbours and not to each edge: first
    T_i = sum_j Y_ij (x) (W_ij h_j), on a CPU in a kernel and else in batched matrix products on the padded layout, then
    the small Clebsch-Gordan contraction on atoms. Equals e3nn's TensorProduct(mode "uvu", component/element) followed
    by a scatter.

    ``targets`` are the irreps of the output, scalars (0e) first; ``parity``: see ``couplings``. Paths with the same
    input and harmonic form a group and are weighted together; those with scalar output, which the head may touch, form
    groups of their own, the first.
    """

    kernel: Callable[..., list[Tensor]] | None = None  # takes the place of ``forward`` while it is set

    def __init__(self, irreps_in: o3.Irreps, l_edge: int, targets: Sequence[o3.Irrep], parity: int = -1):
        super().__init__()
        self.targets = list(targets)
        self.paths = couplings(irreps_in, l_edge, targets, parity)
        self.degrees = [ir.l for _, ir in irreps_in]
        self.channels = [channels for channels, _ in irreps_in]
        groups: dict[tuple[bool, int, int], list[int]] = defaultdict(list)
        for index, (source, l2, target) in enumerate(self.paths):
            groups[target > 0, source, l2].append(index)
            # matrix [m3, (m2, m1)], acting on the flattened outer product Y (x) h
            coupling = clebsch_gordan(self.degrees[source], l2, targets[target].l).transpose(0, 1).flatten(0, 1).T
            self.register_buffer(f"coupling_{index}", coupling.contiguous(), persistent=False)
        self.members = [groups[key] for key in sorted(groups)]
        self.groups = []
        for other, source, l2 in sorted(groups):
            kind = PlainGroup if l2 == 0 else PathGroup if other else TraceGroup
            self.groups.append(kind(source, block(l2), len(groups[other, source, l2])))
        components = [2 * degree + 1 for degree in self.degrees]
        self.plan = Plan(self.groups, self.n_scalar_groups, (l_edge + 1) ** 2, self.channels, components)
        self.coupling_plan = self._coupling_plan()
        # with a gate on scalar outputs, in torch's operations: their harmonics times gate stand behind those of the
        # others, if there are any
        scalar = [block(l2).stop for other, _, l2 in groups if not other]
        self.n_gated, behind = max(scalar, default=0), (l_edge + 1) ** 2 if len(scalar) < len(groups) else 0
        self.gated_groups = [
            group if other else (GatedGroup if l2 == 0 else TraceGroup)(source, block(l2, behind), group.paths)
            for group, (other, source, l2) in zip(self.groups, sorted(groups), strict=True)
        ]

    def _coupling_plan(self) -> CouplingPlan:
        paths = {}
        for k, (group, members) in enumerate(zip(self.groups, self.members, strict=True)):
            for number, p in enumerate(members):
                coupling = getattr(self, f"coupling_{p}")
                if isinstance(group, PlainGroup):
                    coupling = torch.eye(len(coupling), dtype=coupling.dtype)
                elif isinstance(group, TraceGroup):
                    coupling = coupling[:1, :1]
                paths[p] = CoupledPath(coupling, k, number, self.paths[p].target)
        targets = [(2 * target.l + 1, width) for target, width in zip(self.targets, self.fan_out, strict=True)]
        return CouplingPlan([paths[p] for p in range(len(paths))], self.plan.shapes, targets)

    @property
    def weight_numel(self) -> int:
        """Weights per edge."""
        return sum(self.group_widths)

    @property
    def group_widths(self) -> list[int]:
        """Weights per edge of every group, groups with scalar output first."""
        return [group.paths * self.channels[group.source] for group in self.groups]

    @property
    def n_scalar_groups(self) -> int:
        """Number of groups with scalar output (0e)."""
        return sum(self.paths[members[0]].target == 0 for members in self.members)

    @property
    def scalar_width(self) -> int:
        """Weights per edge of all paths with scalar output."""
        return sum(self.group_widths[: self.n_scalar_groups])

    @property
    def fan_out(self) -> list[int]:
        """Channels of every target: those of all its paths."""
        return [
            sum(self.channels[path.source] for path in self.paths if path.target == target)
            for target in range(len(self.targets))
        ]

    def by_group(self, matrix: Tensor) -> Tensor:
        """Columns [.., weight_numel] from the order of ``paths`` to that of ``groups``."""
        order = [p for members in self.members for p in members]
        if order == sorted(order):
            return matrix
        columns = matrix.split([self.channels[path.source] for path in self.paths], dim=-1)
        return torch.cat([columns[p] for p in order], dim=-1)

    def forward(
        self,
        features: Sequence[Tensor],
        weights: Sequence[Tensor],
        harmonics: Tensor,
        geometry: EdgeGeometry,
        gate: Tensor | None = None,
    ) -> list[Tensor]:
        """Features per irrep [N, 2l + 1, C] -> per target [N, 2 l3 + 1, fan_out], paths in the order of ``self.paths``.

        weights: in pair layout (see ``with_zero_row``), ordered by groups, those of the paths with scalar output
        [R, scalar_width] and of the others, if there are any; harmonics [N, K, (l_edge + 1)^2] (padded layout, zero in
        empty slots). ``gate`` [N, K, 1] is a factor on the messages with scalar output.
        """
        if self.kernel is not None:
            return self.kernel(features, weights, harmonics, geometry, gate)
        return self._messages(features, weights, harmonics, geometry, gate)

    @with_cpu_kernel(kernel_messages)
    def _messages(
        self,
        features: Sequence[Tensor],
        weights: Sequence[Tensor],
        harmonics: Tensor,
        geometry: EdgeGeometry,
        gate: Tensor | None,
    ) -> list[Tensor]:
        # 1. features of the neighbours, weighted, times the harmonics, summed     per path [N, (2 l2 + 1)(2 l1 + 1), C]
        summed = self._summed(features, weights, harmonics, geometry, gate)
        # 2. Clebsch-Gordan contraction on atoms                                   per path [N, 2 l3 + 1, C]
        outputs: dict[int, Tensor] = {}
        for group, members, sums in zip(self.groups, self.members, summed, strict=True):
            for p, values in zip(members, sums, strict=True):
                coupling = getattr(self, f"coupling_{p}")  # [2 l3 + 1, (2 l2 + 1)(2 l1 + 1)]
                if isinstance(group, PlainGroup):  # the coupling with the constant harmonic is the identity
                    outputs[p] = values
                elif isinstance(group, TraceGroup):  # a multiple of the identity of m1 and m2
                    outputs[p] = values * coupling[0, 0]
                else:
                    outputs[p] = coupling @ values
        return [
            torch.cat([outputs[p] for p, path in enumerate(self.paths) if path.target == target], dim=2)
            for target in range(len(self.targets))
        ]

    def split_weights(self, weights: Sequence[Tensor], geometry: EdgeGeometry) -> list[Tensor]:
        """Weights from pair layout to padded layout, per group [N K, P C]."""
        n = self.n_scalar_groups
        cuts = (self.group_widths[:n], self.group_widths[n:])
        return [
            part for w, cut in zip(weights, cuts, strict=False) for part in pairs_to_padded_blocks(w, cut, geometry)
        ]

    def _summed(
        self,
        features: Sequence[Tensor],
        weights: Sequence[Tensor],
        harmonics: Tensor,
        geometry: EdgeGeometry,
        gate: Tensor | None,
    ) -> list[Sequence[Tensor]]:
        """Per group and path T [N, (2 l2 + 1)(2 l1 + 1), C]; of a trace [N, 1, C], a plain group [N, 2 l1 + 1, C]."""
        groups = self.groups
        if gate is not None:  # W (x) Y g: the gate is one number per edge, and so many more are the weights
            # under a name of its own, at which the derivatives of both parts meet before those of other layers join in
            own = harmonics.view_as(harmonics)
            gated = own[:, :, : self.n_gated] * gate
            groups = self.gated_groups
            harmonics = torch.cat([own, gated], dim=2) if len(groups) > self.n_scalar_groups else gated
        padded = self.split_weights(weights, geometry)
        totals = weighted_neighbour_sum(groups, geometry.padded_neighbour, harmonics, padded, features)
        summed: list[Sequence[Tensor]] = []
        for group, values in zip(self.groups, totals, strict=True):
            if isinstance(group, (PlainGroup, TraceGroup)):
                summed.append([values])
            else:
                width = values.shape[2] // group.paths
                c = self.channels[group.source]
                summed.append([part.reshape(values.shape[0], -1, c) for part in values.split(width, dim=2)])
        return summed
