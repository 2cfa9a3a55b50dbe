"""Channelwise tensor product with the harmonics of the edges, summed over neighbours."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.angular import block, clebsch_gordan, natural_parity_paths
from scalarpath.nn.neighbour_sum import outer_neighbour_sum


class ChannelwiseConvolution(nn.Module):
    """A_i^{l3} = sum_j W_ij^path CG(h_j^{l1}, Y^{l2}(r_ij)) for every path (l1, l2, l3), each channel by itself.

    The coupling is linear in Y, so it is applied to the sum over neighbours and not to each edge: first
    T_i = sum_j Y_ij (x) (W_ij h_j), a batched matrix product per l2, then the small Clebsch-Gordan contraction on
    atoms. Equals e3nn's TensorProduct(mode "uvu", component/element) followed by a scatter.
    """

    def __init__(self, l_in: int, l_edge: int, l_out: int, channels: int):
        super().__init__()
        self.channels = channels
        self.l_out = l_out
        self.paths = natural_parity_paths(l_in, l_edge, l_out)
        self.n_scalar_paths = sum(l3 == 0 for _, _, l3 in self.paths)
        self.by_harmonic: dict[int, list[int]] = defaultdict(list)
        for index, (l1, l2, l3) in enumerate(self.paths):
            self.by_harmonic[l2].append(index)
            # matrix [(m2, m1), m3], acting on the flattened outer product Y (x) h
            coupling = clebsch_gordan(l1, l2, l3).transpose(0, 1).flatten(0, 1)
            self.register_buffer(f"coupling_{index}", coupling, persistent=False)

    @property
    def weight_numel(self) -> int:
        """Weights per edge: paths x channels, scalar-output paths first."""
        return len(self.paths) * self.channels

    def paths_to(self, l3: int) -> int:
        """Number of paths that end in degree l3."""
        return sum(path[2] == l3 for path in self.paths)

    def forward(
        self, features: Tensor, weights: list[Tensor], harmonics: Tensor, geometry: EdgeGeometry
    ) -> list[Tensor]:
        """features [N, (l_in+1)^2, C], weights per path [E, C], harmonics [N, K, (l_edge+1)^2] on the padded layout

        -> per l3 a tensor [N, 2 l3 + 1, paths_to(l3) * C], paths in the order of ``self.paths``.
        """
        n, c = geometry.n_atoms, self.channels
        sources = features.index_select(0, geometry.neighbour)  # [E, M, C]
        outputs: dict[int, Tensor] = {}
        for l2, indices in self.by_harmonic.items():
            # 1. weighted neighbour features of all paths with this harmonic        [E, sum(2 l1 + 1) C]
            weighted = torch.cat(
                [(weights[p][:, None, :] * sources[:, block(self.paths[p][0])]).flatten(1) for p in indices], dim=1
            )
            # 2. outer product with the harmonic, summed over neighbours             [N, 2 l2 + 1, sum(2 l1 + 1) C]
            summed = outer_neighbour_sum(harmonics[:, :, block(l2)], weighted, geometry)
            # 3. Clebsch-Gordan contraction on atoms                                 [N, 2 l3 + 1, C] per path
            start = 0
            for p in indices:
                width = (2 * self.paths[p][0] + 1) * c
                outer = summed[:, :, start : start + width].reshape(n, -1, c)  # [N, (2 l2 + 1)(2 l1 + 1), C]
                start += width
                outputs[p] = getattr(self, f"coupling_{p}").T @ outer
        return [
            torch.cat([outputs[p] for p, path in enumerate(self.paths) if path[2] == l3], dim=2)
            for l3 in range(self.l_out + 1)
        ]
