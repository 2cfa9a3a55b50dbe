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

from scalarpath.core.settings import Positive, Width
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import pairs_to_padded, to_padded
from scalarpath.heads.interface import Descriptors, PathwayInputs, PathwayPart, PathwayShape
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.gates import kernel_edge_gates, kernel_node_gates
from scalarpath.nn.elementwise import ExpTanh, elementwise, silu

STRENGTH = math.log(2.0)  # of a gate between 1/2 and 2


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def hidden_units(descriptors: Tensor, w1: Tensor, embedding: Tensor, layers: int) -> Sequence[Tensor]:
    """silu(W1 d + T) / sqrt(H) of every layer, H being the fan-in of W2: [N, D], [D, L H], [N, L H] -> [N, H] each."""
    hidden = w1.shape[1] // layers
    return (silu(torch.addmm(embedding, descriptors, w1)) / math.sqrt(hidden)).split(hidden, dim=1)


def network_outputs(geometry: EdgeGeometry, networks: Sequence[Tensor]) -> Tensor:
    """o = W2 silu(W1 d_i + T_Zi) / sqrt(H) of all layers one after the other: [N, sum of widths].

    ``networks``: descriptors d [N, D], W1 [D, L H], T [S, L H], then W2 [H, width] of each of the L layers.
    """
    descriptors, w1, embedding, *w2 = networks
    units = hidden_units(descriptors, w1, embedding.index_select(0, geometry.species), len(w2))
    return torch.cat([h @ w for h, w in zip(units, w2, strict=True)], dim=1)


@with_cpu_kernel(kernel_node_gates)
def node_gates(geometry: EdgeGeometry, networks: Sequence[Tensor], strength: float) -> tuple[Tensor, ...]:
    """exp(strength tanh(o)) of every layer and atom, see ``network_outputs``: [N, width] each."""
    widths = [w2.shape[1] for w2 in networks[3:]]
    return elementwise(ExpTanh(strength), network_outputs(geometry, networks)).split(widths, dim=1)


@with_cpu_kernel(kernel_edge_gates)
def edge_gates(
    geometry: EdgeGeometry, networks: Sequence[Tensor], strength: float, radial: Tensor, per_pair: bool
) -> tuple[Tensor, ...]:
    """exp(strength tanh(c_0 + sum_b c_b R_b)) of every layer and edge, on the padded layout: [N, K, 1] each.

    The networks give (c_0, c) for every species of the neighbour one after the other: widths S (1 + B). radial R: with
    ``per_pair`` on the pair layout (see ``with_zero_row``), else on the edge layout, [R, B].
    """
    padded = (pairs_to_padded if per_pair else to_padded)(radial, geometry)
    n_atoms, layers, n_species = geometry.n_atoms, len(networks) - 3, networks[2].shape[0]
    outputs = network_outputs(geometry, networks).view(n_atoms, layers * n_species, 1 + radial.shape[1])
    constant, coefficients = outputs.tensor_split([1], dim=2)
    logits = torch.baddbmm(constant, coefficients, padded.transpose(1, 2))  # [N, layers * S, K]
    if n_species > 1:  # of every neighbour the one of its species
        species = geometry.padded_neighbour_species.view(n_atoms, 1, 1, geometry.max_degree)
        logits = logits.view(n_atoms, layers, n_species, geometry.max_degree)
        logits = logits.gather(2, species.expand(-1, layers, -1, -1)).squeeze(2)
    # layer by layer in memory, since each is read by itself
    return elementwise(ExpTanh(strength), logits.transpose(0, 1).contiguous()).unsqueeze(3).unbind(0)


class LayerNetworks(PathwayPart):
    """One small network per layer of the backbone, on the descriptors of the atoms.

    The hidden units of all layers are computed at once. ``widths``: the number of outputs for every layer.
    """

    def __init__(
        self,
        n_species: int,
        descriptors: Descriptors,
        generator: torch.Generator,
        hidden: int,
        widths: Sequence[int],
    ):
        super().__init__()
        total = len(widths) * hidden
        self.w1 = nn.Parameter(_normal(generator, descriptors.size, total) / math.sqrt(descriptors.size))
        self.embedding = nn.Parameter(_normal(generator, n_species, total))
        self.w2 = nn.ParameterList(nn.Parameter(torch.zeros(hidden, width, dtype=torch.float64)) for width in widths)

    def networks(self, inputs: PathwayInputs) -> list[Tensor]:
        """The networks and what they are applied to, see ``network_outputs``."""
        return [inputs.descriptors.values, self.w1, self.embedding, *self.w2]


class NodeGate(LayerNetworks):
    """m_i <- a_i m_i with a_{i,c} = exp(strength tanh(W2 silu(W1 d_i + T_Zi)))."""

    def __init__(
        self,
        pathway: PathwayShape,
        descriptors: Descriptors,
        generator: torch.Generator,
        hidden: Width = 16,
        strength: Positive = STRENGTH,
    ):
        super().__init__(pathway.n_species, descriptors, generator, hidden, pathway.pool_channels)
        self.strength = strength

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Gates of every layer: [N, pool_channels] each."""
        return node_gates(inputs.geometry, self.networks(inputs), self.strength)

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """a_i m_i."""
        return features * prepared[layer]


class Injection(LayerNetworks):
    """m_i <- m_i + W2 (silu(W1 d_i + T_Zi) - silu(W1 d_isolated + T_Zi)): zero for an atom without neighbours."""

    def __init__(self, pathway: PathwayShape, descriptors: Descriptors, generator: torch.Generator, hidden: Width = 16):
        super().__init__(pathway.n_species, descriptors, generator, hidden, pathway.pool_channels)

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Hidden units of every layer relative to the isolated atom: [N, hidden] each."""
        species = inputs.geometry.species
        local, layers = inputs.descriptors, len(self.w2)
        units = hidden_units(local.values, self.w1, self.embedding.index_select(0, species), layers)
        isolated = hidden_units(local.isolated, self.w1, self.embedding, layers)
        return [own - alone.index_select(0, species) for own, alone in zip(units, isolated, strict=True)]

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """m_i + W2 (...)."""
        return torch.addmm(features, prepared[layer], self.w2[layer])


class EdgeGate(LayerNetworks):
    """W_ij <- g_ij W_ij with g = exp(strength tanh(c_0 + sum_b c_b R_b(r_ij))), (c_0, c) = W2 silu(W1 d_i + T_Zi).

    One number per edge and layer: a function of the distance, written in the backbone's radial features R. Its
    coefficients come from the descriptors d_i of the centre, one set for every species of the neighbour.
    """

    def __init__(
        self,
        pathway: PathwayShape,
        descriptors: Descriptors,
        generator: torch.Generator,
        hidden: Width = 16,
        strength: Positive = STRENGTH,
    ):
        widths = [pathway.n_species * (1 + pathway.n_radial)] * len(pathway.edge_channels)
        super().__init__(pathway.n_species, descriptors, generator, hidden, widths)
        self.strength = strength

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Gates of every layer on the padded layout: [N, K, 1] each."""
        networks = self.networks(inputs)
        return edge_gates(inputs.geometry, networks, self.strength, inputs.radial, inputs.per_pair)

    def edge_gate(self, layer: int, prepared: Any) -> Tensor:
        """g_ij [N, K, 1]."""
        return prepared[layer]
