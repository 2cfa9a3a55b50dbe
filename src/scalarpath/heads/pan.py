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

from scalarpath.core.settings import Count, Positive
from scalarpath.heads.interface import Descriptors, PathwayInputs, PathwayPart, PathwayShape
from scalarpath.nn.cpu.gates import kernel_edge_gates, kernel_node_gates
from scalarpath.nn.cpu.library import usable
from scalarpath.nn.elementwise import Gate, elementwise, silu

STRENGTH = math.log(2.0)  # of a gate between 1/2 and 2


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


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
        self.hidden, self.widths = hidden, list(widths)
        total = len(widths) * hidden
        self.w1 = nn.Parameter(_normal(generator, descriptors.size, total) / math.sqrt(descriptors.size))
        self.embedding = nn.Parameter(_normal(generator, n_species, total))
        self.w2 = nn.ParameterList(nn.Parameter(torch.zeros(hidden, width, dtype=torch.float64)) for width in widths)

    def hidden_units(self, descriptors: Tensor, embedding: Tensor) -> Sequence[Tensor]:
        """silu(W1 d + T) / sqrt(hidden), the fan-in of W2, of every layer: [N, hidden] each."""
        units = silu(torch.addmm(embedding, descriptors, self.w1)) / math.sqrt(self.hidden)
        return units.split(self.hidden, dim=1)

    def kernel_inputs(self, inputs: PathwayInputs) -> list[Tensor] | None:
        """What the kernels of ``nn/cpu/gates.py`` take, where they can be used."""
        values = inputs.descriptors.values
        return [values, self.w1, self.embedding, *self.w2] if usable(values) else None

    def outputs(self, inputs: PathwayInputs) -> Tensor:
        """W2 silu(W1 d_i + T_Zi) of all layers one after the other: [N, sum(widths)]."""
        units = self.hidden_units(inputs.descriptors.values, self.embedding.index_select(0, inputs.geometry.species))
        return torch.cat([h @ w2 for h, w2 in zip(units, self.w2, strict=True)], dim=1)


class NodeGate(LayerNetworks):
    """m_i <- a_i m_i with a_{i,c} = exp(strength tanh(W2 silu(W1 d_i + T_Zi)))."""

    def __init__(
        self,
        pathway: PathwayShape,
        descriptors: Descriptors,
        generator: torch.Generator,
        hidden: Count = 16,
        strength: Positive = STRENGTH,
    ):
        super().__init__(pathway.n_species, descriptors, generator, hidden, pathway.pool_channels)
        self.gate = Gate(strength)

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Gates of every layer: [N, pool_channels] each."""
        networks = self.kernel_inputs(inputs)
        if networks is not None:
            return kernel_node_gates(inputs.geometry, self.gate.strength, networks)
        return elementwise(self.gate, self.outputs(inputs)).split(self.widths, dim=1)

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """a_i m_i."""
        return features * prepared[layer]


class Injection(LayerNetworks):
    """m_i <- m_i + W2 (silu(W1 d_i + T_Zi) - silu(W1 d_isolated + T_Zi)): zero for an atom without neighbours."""

    def __init__(self, pathway: PathwayShape, descriptors: Descriptors, generator: torch.Generator, hidden: Count = 16):
        super().__init__(pathway.n_species, descriptors, generator, hidden, pathway.pool_channels)

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Hidden units of every layer relative to the isolated atom: [N, hidden] each."""
        species = inputs.geometry.species
        units = self.hidden_units(inputs.descriptors.values, self.embedding.index_select(0, species))
        isolated = self.hidden_units(inputs.descriptors.isolated, self.embedding)
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
        hidden: Count = 16,
        strength: Positive = STRENGTH,
    ):
        widths = [pathway.n_species * (1 + pathway.n_radial)] * len(pathway.edge_channels)
        super().__init__(pathway.n_species, descriptors, generator, hidden, widths)
        self.n_species, self.gate = pathway.n_species, Gate(strength)

    def prepare(self, inputs: PathwayInputs) -> Sequence[Tensor]:
        """Gates of every layer on the padded layout: [N, K, 1] each."""
        geometry, networks = inputs.geometry, self.kernel_inputs(inputs)
        if networks is not None:
            return kernel_edge_gates(geometry, self.gate.strength, networks, inputs.radial, inputs.per_pair)
        radial = inputs.padded_radial
        n_atoms, layers, functions = geometry.n_atoms, len(self.widths), 1 + radial.shape[2]
        outputs = self.outputs(inputs).view(n_atoms, layers * self.n_species, functions)
        constant, coefficients = outputs.tensor_split([1], dim=2)
        logits = torch.baddbmm(constant, coefficients, radial.transpose(1, 2))  # [N, layers * S, K]
        if self.n_species > 1:  # of every neighbour the one of its species
            species = geometry.padded_neighbour_species.view(n_atoms, 1, 1, geometry.max_degree)
            logits = logits.view(n_atoms, layers, self.n_species, geometry.max_degree)
            logits = logits.gather(2, species.expand(-1, layers, -1, -1)).squeeze(2)
        # layer by layer in memory, since each is read by itself
        return elementwise(self.gate, logits.transpose(0, 1).contiguous()).unsqueeze(3).unbind(0)

    def edge_gate(self, layer: int, prepared: Any) -> Tensor:
        """g_ij [N, K, 1]."""
        return prepared[layer]
