"""The nonlinear interaction of mace-torch 0.3.16, RealAgnosticResidualNonLinearInteractionBlock, in parity with it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import with_zero_row
from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution
from scalarpath.nn.linear import DegreeLinear
from scalarpath.nn.mlp import ACTIVATIONS, uniform
from scalarpath.nn.neighbour_sum import learnt_density
from scalarpath.nn.norm_mlp import NormMLP

DENSITY_WIDTH = 64  # hidden units of the density network
SIGMOID_SCALE = 1.8467055342154763  # unit second moment, with the digits of e3nn.math.normalize2mom
SILU_SCALE = ACTIVATIONS["silu"].scale


class NonlinearInteraction(nn.Module):
    """What a MACE layer does with the radial features and with the sums over neighbours in this block.

    Edges: weights W_ij = u(r_ij) MLP(x_ij), x_ij = (R_n(r_ij), s[z_j], t[z_i]), which differ for the two directions.
    Atoms: m_i = (sum_j W_ij ...) V / (alpha + beta rho_i) + h_i U, rho_i = sum_j u(r_ij) tanh(f(x_ij)^2); then a gate,
    silu(m_i^0) and sigmoid(g_i^l) m_i^l with gates g that are more scalars of m, and a linear map. Neither h_i U nor
    the skip connection depends on the neighbours: an isolated atom has an energy besides E0.
    """

    def __init__(
        self,
        convolution: ChannelwiseConvolution,
        channels: int,
        l_in: int,
        l_out: int,
        n_species: int,
        radial_widths: Sequence[int],
        generator: torch.Generator,
    ):
        super().__init__()
        l_edge = len(convolution.targets) - 1
        self.channels, self.n_species, self.n_radial = channels, n_species, radial_widths[0]
        self.source, self.target = (
            nn.Parameter(uniform(n_species, channels, bound=0.001, generator=generator)) for _ in range(2)
        )
        n_edge = self.n_radial + 2 * channels
        self.radial_mlp = NormMLP([n_edge, *radial_widths[1:], convolution.weight_numel], generator)
        self.density_mlp = NormMLP([n_edge, DENSITY_WIDTH, 1], generator)
        self.alpha = nn.Parameter(torch.tensor(20.0, dtype=torch.float64))
        self.beta = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
        gated = [channels * (l_edge + 1)] + [channels] * l_edge  # behind the scalars the gates of every degree above 0
        self.linear = DegreeLinear(convolution.fan_out, gated, generator)
        shared = min(l_in, l_edge) + 1
        self.residual = DegreeLinear([channels] * shared, gated[:shared], generator)
        self.linear_out = DegreeLinear([channels] * (l_edge + 1), [channels] * (l_edge + 1), generator)
        skipped = [channels] * (min(l_in, l_out) + 1)
        self.skip = DegreeLinear(skipped, skipped, generator)

    def edge_weights(self, radial: Tensor, envelope: Tensor, geometry: EdgeGeometry) -> tuple[Tensor, Tensor]:
        """Features [R, H + 1] and matrix [H + 1, W] whose product are the weights, zero at the cutoff."""
        hidden = self.radial_mlp.hidden(self._first(self.radial_mlp, radial, geometry))
        return torch.cat([hidden * envelope, envelope], dim=1), self.radial_mlp.last()

    def divisor(self, radial: Tensor, envelope: Tensor, geometry: EdgeGeometry) -> Tensor:
        """alpha + beta rho_i: [N, 1, 1]."""
        mlp = self.density_mlp
        f = torch.addmm(mlp.biases[-1], mlp.hidden(self._first(mlp, radial, geometry)), mlp.weights[-1])
        return self.alpha + self.beta * learnt_density(f, envelope, geometry)

    def atomic_basis(self, messages: Sequence[Tensor], divisor: Tensor, up: Sequence[Tensor]) -> list[Tensor]:
        """Sums over neighbours [N, 2l + 1, P_l C] and features h [N, 2l + 1, C] -> A per degree [N, 2l + 1, C]."""
        mixed = [values / divisor for values in self.linear(messages)]
        for degree, values in enumerate(self.residual(up[: len(self.residual.weights)])):
            mixed[degree] = mixed[degree] + values
        scalars, *gates = mixed[0].split(self.channels, dim=2)
        active = [nn.functional.silu(scalars) * SILU_SCALE]
        for values, gate in zip(mixed[1:], gates, strict=True):
            active.append(values * (torch.sigmoid(gate) * SIGMOID_SCALE))
        return self.linear_out(active)

    def _first(self, mlp: NormMLP, radial: Tensor, geometry: EdgeGeometry) -> Tensor:
        """x W + b of the first layer [R, H]. What the elements give to it is a row for each ordered pair of them."""
        by_radial, by_elements = mlp.weights[0].split([self.n_radial, 2 * self.channels])
        n = self.n_species
        elements = torch.cat([self.source.repeat(n, 1), self.target.repeat_interleave(n, dim=0)], dim=1)
        rows = torch.addmm(mlp.biases[0], elements / math.sqrt(n), by_elements)
        if n > 1:
            pairs = with_zero_row(geometry.one_way.species_pairs(n)[:, None], geometry).squeeze(1)
            rows = rows.index_select(0, pairs)
        return torch.addmm(rows, radial, by_radial)
