"""PAN, physics-aware neighbourhood pooling: amplitudes of the scalar channels that depend on the neighbourhood.

Three parts, composable: a gate on the pooled scalars of every atom, a gate on the scalar weight of every edge, and the
injection of the descriptors into the pooled scalars. Gates are exp(strength tanh(o)), within (1/2, 2) by default, and
one exactly at the start. The linear regime of the node gate, a ~ (n / nbar)^gamma, contains sum and mean pooling, PNA's
degree scalers (arXiv:2004.05718) and the square-root embedding of second-moment potentials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.heads.scalar_pathway import PathwayInputs, PathwayPart, PathwaySpec
from scalarpath.nn.silu import silu


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class LayerNetworks(PathwayPart):
    """One small network per layer of the backbone on the descriptors of the atoms; all layers' hidden units at once."""

    def __init__(
        self, spec: PathwaySpec, descriptors: NeighbourhoodDescriptors, generator: torch.Generator, hidden: int = 16
    ):
        super().__init__()
        self.hidden = hidden
        width = len(spec.pool_channels) * hidden
        self.w1 = nn.Parameter(_normal(generator, descriptors.size, width) / math.sqrt(descriptors.size))
        self.embedding = nn.Parameter(_normal(generator, spec.n_species, width))
        self.w2 = nn.ParameterList(
            nn.Parameter(torch.zeros(hidden, channels, dtype=torch.float64)) for channels in spec.pool_channels
        )

    def hidden_units(self, descriptors: Tensor, embedding: Tensor) -> Tensor:
        """silu(W1 d + T): [N, layers * hidden]."""
        return silu(torch.addmm(embedding, descriptors, self.w1))

    def output_map(self, layer: int) -> Tensor:
        """W2 of a layer with its scale 1 / sqrt(fan-in): [hidden, pool_channels]."""
        return self.w2[layer] / math.sqrt(self.hidden)


class NodeGate(LayerNetworks):
    """m_i <- a_i m_i with a_{i,c} = exp(strength tanh(W2 silu(W1 d_i + T_Zi)))."""

    def __init__(
        self,
        spec: PathwaySpec,
        descriptors: NeighbourhoodDescriptors,
        generator: torch.Generator,
        hidden: int = 16,
        strength: float = math.log(2.0),
    ):
        super().__init__(spec, descriptors, generator, hidden)
        self.strength = strength

    def prepare(self, inputs: PathwayInputs) -> list[Tensor]:
        """Gates of every layer: [N, pool_channels] each."""
        units = self.hidden_units(inputs.descriptors.values, self.embedding[inputs.geometry.species])
        return [
            torch.exp(self.strength * torch.tanh(h @ self.output_map(layer)))
            for layer, h in enumerate(units.split(self.hidden, dim=1))
        ]

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """a_i m_i."""
        return features * prepared[layer]


class Injection(LayerNetworks):
    """m_i <- m_i + W2 (silu(W1 d_i + T_Zi) - silu(W1 d_isolated + T_Zi)): zero for an atom without neighbours."""

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Hidden units of every layer relative to the isolated atom: [N, hidden] each."""
        species = inputs.geometry.species
        units = self.hidden_units(inputs.descriptors.values, self.embedding[species])
        isolated = self.hidden_units(inputs.descriptors.isolated, self.embedding)
        return (units - isolated[species]).split(self.hidden, dim=1)

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """m_i + W2 (...)."""
        return torch.addmm(features, prepared[layer], self.output_map(layer))


class EdgeGate(PathwayPart):
    """W_ij <- g_ij W_ij with g = exp(strength tanh(w2 . silu(A R_ij + B d_i + T_{Zi,Zj}))).

    One number per edge and layer. R_ij are the backbone's radial features, d_i the descriptors of the centre.
    """

    own_layer: Tensor

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
        self.embedding = nn.Parameter(_normal(generator, spec.n_species**2, layers * hidden))
        self.w2 = nn.Parameter(torch.zeros(layers, hidden, dtype=torch.float64))
        own_layer = torch.eye(layers, dtype=torch.float64)[:, None] / math.sqrt(hidden)  # [layers, 1, layers]
        self.register_buffer("own_layer", own_layer, persistent=False)

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Gates of every layer: [E, 1] each."""
        geometry, width = inputs.geometry, self.radial.shape[1]
        # B d_i + T_{Zi,Z} of every atom i and species Z, so that an edge fetches one row: [N * S, layers * hidden]
        pairs = self.embedding.view(self.n_species, self.n_species, width)[geometry.species]
        atoms = ((inputs.descriptors.values @ self.local)[:, None] + pairs).view(-1, width)
        edges = atoms.index_select(0, geometry.centre * self.n_species + geometry.neighbour_species)
        hidden = silu(torch.addmm(edges, inputs.radial, self.radial))
        logits = hidden @ (self.w2[:, :, None] * self.own_layer).flatten(0, 1)  # [E, layers]
        return torch.exp(self.strength * torch.tanh(logits)).split(1, dim=1)

    def edge_gate(self, layer: int, prepared: Any) -> Tensor:
        """g_ij [E, 1]."""
        return prepared[layer]
