"""PAN, physics-aware neighbourhood pooling: amplitudes of the scalar channels that depend on the neighbourhood.

Three parts, composable: a gate on the pooled scalars of every atom, a gate on the scalar weight of every edge, and the
injection of the descriptors into the pooled scalars. Gates are exp(strength tanh(o)), within (1/2, 2) by default, and
one exactly at the start. The linear regime of the node gate, a ~ (n / nbar)^gamma, contains sum and mean pooling, PNA's
degree scalers (arXiv:2004.05718) and the square-root embedding of second-moment potentials.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.descriptors import LocalDescriptors, NeighbourhoodDescriptors
from scalarpath.heads.scalar_pathway import PathwayPart, PathwaySpec

_silu = nn.functional.silu


def _normal(generator: torch.Generator, *shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64))


def _zeros(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape, dtype=torch.float64))


class NodeGate(PathwayPart):
    """m_i <- a_i m_i with a_{i,c} = exp(strength tanh(W2 silu(W1 d_i + T_Zi))), one small network per layer."""

    def __init__(
        self,
        spec: PathwaySpec,
        descriptors: NeighbourhoodDescriptors,
        generator: torch.Generator,
        hidden: int = 16,
        strength: float = math.log(2.0),
    ):
        super().__init__()
        self.hidden, self.strength = hidden, strength
        layers = len(spec.pool_channels)
        self.scale = 1.0 / math.sqrt(hidden)
        self.w1 = nn.Parameter(_normal(generator, descriptors.size, layers * hidden) / math.sqrt(descriptors.size))
        self.embedding = _normal(generator, spec.n_species, layers * hidden)
        self.w2 = nn.ParameterList(_zeros(hidden, channels) for channels in spec.pool_channels)

    def prepare(self, geometry: EdgeGeometry, radial: Tensor, descriptors: LocalDescriptors | None) -> Any:
        """Gates of every layer: list of [N, pool_channels]."""
        hidden = _silu(torch.addmm(self.embedding[geometry.species], descriptors.values, self.w1)).split(
            self.hidden, dim=1
        )
        return [
            torch.exp(self.strength * torch.tanh(h @ (w * self.scale))) for h, w in zip(hidden, self.w2, strict=True)
        ]

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """a_i m_i."""
        return features * prepared[layer]


class Injection(PathwayPart):
    """m_i <- m_i + W2 (silu(W1 d_i + T_Zi) - silu(W1 d_isolated + T_Zi)): zero for an atom without neighbours."""

    def __init__(
        self, spec: PathwaySpec, descriptors: NeighbourhoodDescriptors, generator: torch.Generator, hidden: int = 16
    ):
        super().__init__()
        self.hidden = hidden
        layers = len(spec.pool_channels)
        self.scale = 1.0 / math.sqrt(hidden)
        self.w1 = nn.Parameter(_normal(generator, descriptors.size, layers * hidden) / math.sqrt(descriptors.size))
        self.embedding = _normal(generator, spec.n_species, layers * hidden)
        self.w2 = nn.ParameterList(_zeros(hidden, channels) for channels in spec.pool_channels)

    def prepare(self, geometry: EdgeGeometry, radial: Tensor, descriptors: LocalDescriptors | None) -> Any:
        """Hidden units of every layer relative to the isolated atom: list of [N, hidden]."""
        hidden = _silu(torch.addmm(self.embedding[geometry.species], descriptors.values, self.w1))
        isolated = _silu(torch.addmm(self.embedding, descriptors.isolated, self.w1))
        return (hidden - isolated[geometry.species]).split(self.hidden, dim=1)

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """m_i + W2 (...)."""
        return torch.addmm(features, prepared[layer], self.w2[layer] * self.scale)


class EdgeGate(PathwayPart):
    """W_ij <- g_ij W_ij with g = exp(strength tanh(w2 . silu(A R_ij + B d_i + T_{Zi,Zj}))), one number per edge and
    layer.

    R_ij are the backbone's radial features, d_i the descriptors of the centre.
    """

    def __init__(
        self,
        spec: PathwaySpec,
        descriptors: NeighbourhoodDescriptors,
        generator: torch.Generator,
        hidden: int = 16,
        strength: float = math.log(2.0),
    ):
        super().__init__()
        self.hidden, self.strength = hidden, strength
        layers = len(spec.edge_channels)
        self.n_species = spec.n_species
        self.radial = nn.Parameter(_normal(generator, spec.n_radial, layers * hidden) / math.sqrt(spec.n_radial))
        self.local = nn.Parameter(_normal(generator, descriptors.size, layers * hidden) / math.sqrt(descriptors.size))
        self.embedding = _normal(generator, spec.n_species**2, layers * hidden)
        self.w2 = _zeros(layers, hidden)

    def prepare(self, geometry: EdgeGeometry, radial: Tensor, descriptors: LocalDescriptors | None) -> Any:
        """Gates of every layer: tuple of [E, 1]."""
        species_i = geometry.species.index_select(0, geometry.centre)
        species_j = geometry.species.index_select(0, geometry.neighbour)
        local = (descriptors.values @ self.local).index_select(0, geometry.centre)  # [E, layers * hidden]
        pair = self.embedding.index_select(0, species_i * self.n_species + species_j)
        hidden = _silu(torch.addmm(local + pair, radial, self.radial)).view(len(local), *self.w2.shape)
        logits = (hidden * self.w2).sum(-1) / math.sqrt(self.hidden)  # [E, layers]
        return torch.exp(self.strength * torch.tanh(logits)).split(1, dim=1)

    def edge_gate(self, layer: int, prepared: Any) -> Tensor:
        """g_ij [E, 1]."""
        return prepared[layer]
