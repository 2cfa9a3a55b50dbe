"""Controls of the heads: the same shapes, parameters and matrix products without what PAN and PGS are said to add.

``ctrl_mlp`` is made of the parts of ``panpgs`` with the physics taken out: the edge band gets the low frequencies that
the backbone has already (``first: 0``), the gates get ``ConstantDescriptors``, the readout is an ``MlpReadout``.
``panpgs_shuffle`` keeps all parts and gives every atom the descriptors of another (``ShuffledDescriptors``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.core.settings import Width
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.heads.interface import Descriptors, LocalDescriptors, PathwayInputs, PathwayPart, PathwayShape
from scalarpath.nn.elementwise import silu


class ConstantDescriptors(NeighbourhoodDescriptors):
    """The same fixed random numbers for every atom of a species: nothing of its neighbourhood can be read from them.

    The true descriptors are computed and multiplied by zero, so that parameters and operations match.
    """

    constants: Tensor

    def __init__(self, cutoff: float, n_species: int, shells: Width = 4):
        super().__init__(cutoff, n_species, shells)
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("constants", torch.randn(n_species, self.size, generator=generator, dtype=torch.float64))

    def forward(self, geometry: EdgeGeometry) -> LocalDescriptors:
        """Constants of every atom's species."""
        dropped = 0.0 * super().forward(geometry).values
        return LocalDescriptors(dropped + self.constants.index_select(0, geometry.species), self.constants)


class ShuffledDescriptors(NeighbourhoodDescriptors):
    """The true descriptors, in training shuffled at random among the atoms of one species in the batch.

    Distribution, parameters and operations are those of the true descriptors, but an atom no longer reads its own
    neighbourhood. In evaluation every atom has its own. ``draws`` counts the shuffles. The shuffles depend on this
    number alone, so that a resumed run shuffles as an uninterrupted one.
    """

    draws: Tensor

    def __init__(self, cutoff: float, n_species: int, shells: Width = 4):
        super().__init__(cutoff, n_species, shells)
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def forward(self, geometry: EdgeGeometry) -> LocalDescriptors:
        """Standardised descriptors of every atom, or of another one of its species."""
        local = super().forward(geometry)
        if not self.training:
            return local
        generator = torch.Generator().manual_seed(int(self.draws))
        self.draws += 1
        order = torch.randperm(geometry.n_atoms, generator=generator).to(geometry.species.device)
        drawn = order[geometry.species[order].argsort(stable=True)]
        own = geometry.species.argsort(stable=True)
        return local._replace(values=local.values[torch.empty_like(own).scatter_(0, own, drawn)])


class MlpReadout(PathwayPart):
    """E_i <- E_i + sum_ck a_Zck [silu(alpha_k t_c + beta_k) - silu(beta_k)], t = tanh(P h_i), with the last layer.

    As many coefficients as ``EmbeddingReadout``, which start at zero, on fixed random functions of fixed random
    projections of the backbone's own scalars h: neither coordination nor a tapered band.
    """

    projection: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(
        self,
        pathway: PathwayShape,
        descriptors: Descriptors,
        generator: torch.Generator,
        orders: Width = 4,
    ):
        super().__init__()
        self.layer = len(pathway.readout_channels) - 1
        width, channels, functions = pathway.readout_channels[-1], descriptors.size, 2 * orders
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.register_buffer("projection", draw(width, channels) / width**0.5)
        self.register_buffer("slope", draw(functions))
        self.register_buffer("offset", draw(functions))
        self.coefficients = nn.Parameter(torch.zeros(pathway.n_species, channels, functions, dtype=torch.float64))
        self.scale = (channels * functions) ** -0.5

    def prepare(self, inputs: PathwayInputs) -> Tensor:
        """Species of the atoms [N]."""
        return inputs.geometry.species

    def readout(self, layer: int, features: Tensor, prepared: Any) -> Tensor | None:
        """[N, readout_channels] -> [N], with the last layer."""
        if layer != self.layer:
            return None
        t = torch.tanh(features @ self.projection)[:, :, None]
        functions = silu(self.slope * t + self.offset) - silu(self.offset)
        return self.scale * (functions * self.coefficients[prepared]).sum((1, 2))
