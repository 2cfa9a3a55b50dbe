"""Linear maps of equivariant features, per degree, and per degree and species."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class SpeciesGroups:
    """Atoms ordered by species, so that species-dependent weights act on contiguous blocks.

    order, inverse: [N] permutation into the ordered layout and back (None with a single species, where nothing moves);
    counts: atoms per species.
    """

    order: Tensor | None
    inverse: Tensor | None
    counts: list[int]

    @classmethod
    def from_species(cls, species: Tensor, n_species: int, counts: Sequence[int] | None = None) -> SpeciesGroups:
        """species [N] int64 -> groups; ``counts``: atoms per species, where known (counting waits for the device)."""
        if n_species == 1:
            return cls(None, None, [species.shape[0]])
        order = torch.argsort(species, stable=True)
        counts = torch.bincount(species, minlength=n_species).tolist() if counts is None else list(counts)
        return cls(order, torch.argsort(order), counts)

    def split(self, values: Tensor) -> Sequence[Tensor]:
        """[N, ...] -> one tensor per species."""
        return [values] if self.order is None else values.index_select(0, self.order).split(self.counts)

    def join(self, blocks: Sequence[Tensor]) -> Tensor:
        """One tensor per species -> [N, ...] in the original order."""
        return blocks[0] if self.inverse is None else torch.cat(list(blocks)).index_select(0, self.inverse)


class DegreeLinear(nn.Module):
    """y^l = x^l W_l / sqrt(fan_in), one matrix per degree (e3nn's o3.Linear)."""

    def __init__(self, fan_in: Sequence[int], fan_out: Sequence[int], generator: torch.Generator):
        super().__init__()
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(n_in, n_out, generator=generator, dtype=torch.float64))
            for n_in, n_out in zip(fan_in, fan_out, strict=True)
        )

    def forward(self, features: Sequence[Tensor], divisor: Tensor | float = 1.0) -> list[Tensor]:
        """Per degree [N, 2l + 1, fan_in] -> per degree [N, 2l + 1, fan_out], over ``divisor`` (one number)."""
        return [x @ (w / (math.sqrt(w.shape[0]) * divisor)) for x, w in zip(features, self.weights, strict=True)]


def species_linear(values: Tensor, weight: Tensor, groups: SpeciesGroups) -> Tensor:
    """values [N, 2l + 1, fan_in] times the matrix of each atom's species, weight [S, fan_in, fan_out]."""
    return groups.join([x @ w for x, w in zip(groups.split(values), weight, strict=True)])


class SpeciesLinear(nn.Module):
    """y^l_i = x^l_i W_l[z_i] / sqrt(fan_in S): e3nn's FullyConnectedTensorProduct with a one-hot of the species."""

    def __init__(self, n_species: int, fan_in: Sequence[int], fan_out: Sequence[int], generator: torch.Generator):
        super().__init__()
        self.n_species = n_species
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(n_species, n_in, n_out, generator=generator, dtype=torch.float64))
            for n_in, n_out in zip(fan_in, fan_out, strict=True)
        )

    def forward(self, features: Sequence[Tensor], groups: SpeciesGroups) -> list[Tensor]:
        """Per degree [N, 2l + 1, fan_in] -> per degree [N, 2l + 1, fan_out]."""
        return [
            species_linear(value, weight / math.sqrt(weight.shape[1] * self.n_species), groups)
            for value, weight in zip(features, self.weights, strict=True)
        ]


class AttributeLinear(nn.Module):
    """y^l_i = x^l_i (sum_v t_v[z_i] W_lv) / sqrt(fan_in V): e3nn's FullyConnectedTensorProduct with V atom attributes.

    The attributes t depend on the species only, so the matrices are formed once per species.
    """

    def __init__(self, n_attributes: int, fan_in: Sequence[int], fan_out: Sequence[int], generator: torch.Generator):
        super().__init__()
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(n_in, n_attributes, n_out, generator=generator, dtype=torch.float64))
            for n_in, n_out in zip(fan_in, fan_out, strict=True)
        )

    def forward(self, features: Sequence[Tensor], attributes: Tensor, groups: SpeciesGroups) -> list[Tensor]:
        """Per irrep [N, 2l + 1, fan_in], attributes of the species [S, V] -> per irrep [N, 2l + 1, fan_out]."""
        # [fan_in, S, fan_out]: a product for every first index, so that these large weights are read where they lie
        scaled = [attributes / math.sqrt(w.shape[0] * w.shape[1]) for w in self.weights]
        matrices = [torch.bmm(t.expand(len(w), -1, -1), w) for t, w in zip(scaled, self.weights, strict=True)]
        return [species_linear(x, matrix.transpose(0, 1), groups) for x, matrix in zip(features, matrices, strict=True)]
