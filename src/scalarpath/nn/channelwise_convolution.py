"""Channelwise tensor product with the harmonics of the edges, summed over neighbours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from e3nn import o3
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.angular import block, clebsch_gordan, couplings
from scalarpath.nn.neighbour_sum import outer_neighbour_sum


class ChannelwiseConvolution(nn.Module):
    """A_i^{l3} = sum_j W_ij^path CG(h_j^{l1}, Y^{l2}(r_ij)) for every path (l1, l2, l3), each channel by itself.

    The coupling is linear in Y, so it is applied to the sum over neighbours and not to each edge: first
    T_i = sum_j Y_ij (x) (W_ij h_j), a batched matrix product per l2, then the small Clebsch-Gordan contraction on
    atoms. Equals e3nn's TensorProduct(mode "uvu", component/element) followed by a scatter.

    ``targets`` are the irreps of the output, scalars (0e) first.
    """

    def __init__(self, irreps_in: o3.Irreps, l_edge: int, targets: Sequence[o3.Irrep]):
        super().__init__()
        self.targets = list(targets)
        self.paths = couplings(irreps_in, l_edge, targets)
        self.degrees = [ir.l for _, ir in irreps_in]
        self.channels = [channels for channels, _ in irreps_in]
        self.by_harmonic: dict[int, list[int]] = defaultdict(list)
        for index, (source, l2, target) in enumerate(self.paths):
            self.by_harmonic[l2].append(index)
            # matrix [(m2, m1), m3], acting on the flattened outer product Y (x) h
            coupling = clebsch_gordan(self.degrees[source], l2, targets[target].l).transpose(0, 1).flatten(0, 1)
            self.register_buffer(f"coupling_{index}", coupling, persistent=False)

    @property
    def weight_widths(self) -> list[int]:
        """Weights per edge of every path (its channels), paths with scalar output first."""
        return [self.channels[path.source] for path in self.paths]

    @property
    def n_scalar_paths(self) -> int:
        """Number of paths with scalar output (0e)."""
        return sum(path.target == 0 for path in self.paths)

    @property
    def scalar_width(self) -> int:
        """Weights per edge of all paths with scalar output."""
        return sum(self.weight_widths[: self.n_scalar_paths])

    @property
    def fan_out(self) -> list[int]:
        """Channels of every target: those of all its paths."""
        return [
            sum(self.channels[path.source] for path in self.paths if path.target == target)
            for target in range(len(self.targets))
        ]

    def forward(
        self, features: Sequence[Tensor], weights: Sequence[Tensor], harmonics: Tensor, geometry: EdgeGeometry
    ) -> list[Tensor]:
        """features per irrep [N, 2l + 1, C], weights per path [E, C], harmonics [N, K, (l_edge+1)^2] (padded layout)

        -> per target a tensor [N, 2 l3 + 1, fan_out], paths in the order of ``self.paths``.
        """
        n = geometry.n_atoms
        gathered = torch.cat([values.flatten(1) for values in features], dim=1).index_select(0, geometry.neighbour)
        sizes = [(2 * degree + 1, c) for degree, c in zip(self.degrees, self.channels, strict=True)]
        sources = [
            values.unflatten(1, size)  # [E, 2 l1 + 1, C]
            for values, size in zip(gathered.split([m * c for m, c in sizes], dim=1), sizes, strict=True)
        ]
        outputs: dict[int, Tensor] = {}
        for l2, indices in self.by_harmonic.items():
            # 1. weighted neighbour features of all paths with this harmonic        [E, sum(2 l1 + 1) C]
            weighted = torch.cat(
                [(weights[p][:, None, :] * sources[self.paths[p].source]).flatten(1) for p in indices], dim=1
            )
            # 2. outer product with the harmonic, summed over neighbours             [N, 2 l2 + 1, sum(2 l1 + 1) C]
            summed = outer_neighbour_sum(harmonics[:, :, block(l2)], weighted, geometry)
            # 3. Clebsch-Gordan contraction on atoms                                 [N, 2 l3 + 1, C] per path
            start = 0
            for p in indices:
                m1, c = sizes[self.paths[p].source]
                outer = summed[:, :, start : start + m1 * c].reshape(n, -1, c)  # [N, (2 l2 + 1)(2 l1 + 1), C]
                start += m1 * c
                outputs[p] = getattr(self, f"coupling_{p}").T @ outer
        return [
            torch.cat([outputs[p] for p, path in enumerate(self.paths) if path.target == target], dim=2)
            for target in range(len(self.targets))
        ]
