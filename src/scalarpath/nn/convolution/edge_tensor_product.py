"""Allegro's tensor product: the tensors of every edge with the environment of its centre, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from scalarpath.nn.angular import block, clebsch_gordan, couplings
from scalarpath.nn.irreps import irreps
from scalarpath.nn.mlp import unit_uniform

if TYPE_CHECKING:
    from e3nn import o3


class EdgeTensorProduct(nn.Module):
    """V'_ij^{l3} = sum_paths w_{c,path} CG(V_ij^{l1}, Gamma_i^{l2}) for every channel c (arXiv:2204.05249, eq. 9-11).

    Couplings, weights and environment make one matrix per atom and channel, which then acts on the tensors of all its
    edges: the couplings are never evaluated per edge. Weights [C, paths], or [1, paths] for all channels, paths ordered
    by output, input, environment; uniform with unit variance, as upstream.
    """

    tensors: Tensor

    def __init__(
        self,
        irreps_in: Sequence[o3.Irrep],
        l_edge: int,
        irreps_out: Sequence[o3.Irrep],
        channels: int,
        generator: torch.Generator,
    ):
        super().__init__()
        paths = couplings(irreps([(1, ir) for ir in irreps_in]), l_edge, irreps_out)
        where_in, where_out = (irreps([(1, ir) for ir in side]).slices() for side in (irreps_in, irreps_out))
        self.size_in, self.size_out = (sum(ir.dim for ir in side) for side in (irreps_in, irreps_out))
        tensors = torch.zeros(len(paths), (l_edge + 1) ** 2, self.size_in, self.size_out, dtype=torch.float64)
        for p, (source, l2, target) in enumerate(paths):
            coupling = clebsch_gordan(irreps_in[source].l, l2, irreps_out[target].l)
            tensors[p, block(l2), where_in[source], where_out[target]] = coupling.transpose(0, 1)
        self.register_buffer(
            "tensors", tensors.flatten(1), persistent=False
        )  # [paths, (l_edge + 1)^2 size_in size_out]
        self.weights = nn.Parameter(unit_uniform(channels, len(paths), generator=generator))

    def forward(self, values: Tensor, environment: Tensor) -> Tensor:
        """values [C, N, K, size_in] on the padded layout, environment [C, N, (l_edge + 1)^2] -> [C, N, K, size_out]."""
        c, n, k, _ = values.shape
        # 1. couplings weighted for every channel                               [C, (l_edge + 1)^2, size_in size_out]
        weighted = (self.weights @ self.tensors).view(-1, environment.shape[2], self.size_in * self.size_out)
        # 2. one matrix per channel and atom                                    [C N, size_in, size_out]
        matrices = (environment @ weighted).view(c * n, self.size_in, self.size_out)
        # 3. applied to the tensors of all edges of the atom                    [C, N, K, size_out]
        return torch.bmm(values.reshape(c * n, k, self.size_in), matrices).view(c, n, k, self.size_out)
