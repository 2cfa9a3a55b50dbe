"""The scalar pathway: the one interface through which a head may touch the invariant (l = 0) channels of a backbone.

A backbone calls the hooks at fixed places; a head is a composition of parts, each of which overrides some of them:

=============  ==============================================================================================
hook           what it does
=============  ==============================================================================================
edge_gate      a factor [N, K, 1] on the weights of the edge paths with scalar output
edge_term      a low-rank addition ([R, rank], [rank, edge_channels]) to these weights, before the gate; the same for
               both directions of a pair of atoms
pool           maps the scalar channels of the neighbour sum, [N, pool_channels], to the same shape
readout        an additional atomic energy [N] from the scalar features of a layer, [N, readout_channels]
=============  ==============================================================================================

The scalar edge weights of every backbone are a linear map of radial features, W = F M; a head makes g (F M + b V) of
them. b, and in MACE and NequIP F, belong to a pair of atoms, g to one of its two directions.

Without parts every hook is the identity, so ``baseline`` is the plain backbone; every part starts as the identity
(its last factor is zero), so all arms of one seed start from the same energies and forces, bit by bit.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from scalarpath.core.errors import ConfigError
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import pairs_to_edges, with_zero_row
from scalarpath.heads.panels import Panel


@dataclass(frozen=True)
class PathwayShape:
    """What a backbone offers to its head: the widths of the hooks, and what the inputs look like.

    cutoff in Å; n_radial: width of the radial features passed to ``prepare``. Each tuple has one entry per call of its
    hook, and ``layer`` counts these calls: a backbone may pool more often than it reads out.
    """

    cutoff: float
    n_species: int
    n_radial: int
    edge_channels: tuple[int, ...]
    pool_channels: tuple[int, ...]
    readout_channels: tuple[int, ...]


class LocalDescriptors(NamedTuple):
    """Standardised descriptors of the atoms of a batch [N, D], and those of an isolated atom of each species [S, D]."""

    values: Tensor
    isolated: Tensor


@dataclass(frozen=True)
class PathwayInputs:
    """What a part may read: the geometry, the backbone's radial features [R, n_radial], local descriptors.

    The radial features have the layout of the features from which the backbone makes its edge weights: with
    ``per_pair`` the pair layout (see ``with_zero_row``), else the edge layout.
    """

    geometry: EdgeGeometry
    radial: Tensor
    per_pair: bool
    local: LocalDescriptors | None

    def pairs_to_radial_layout(self, values: Tensor) -> Tensor:
        """Pair layout to the layout of the radial features: [P, F] -> [R, F]."""
        return (with_zero_row if self.per_pair else pairs_to_edges)(values, self.geometry)

    @property
    def descriptors(self) -> LocalDescriptors:
        """The local descriptors; raises ConfigError for a head that was built without them."""
        if self.local is None:
            raise ConfigError("a part of this head reads descriptors: give its constructor a parameter 'descriptors'.")
        return self.local


@dataclass(frozen=True)
class Shown:
    """What a part may use to show what it has learned: one batch of frames, as the backbone saw it.

    inputs: what the part has read; plain_weights: of every layer the mean square of the backbone's own scalar weights
    F M over the channels, [E]; labels: those of the descriptors; elements: chemical symbols by species index;
    energy_unit [S]: eV per unit of a readout.
    """

    inputs: PathwayInputs
    plain_weights: Sequence[Tensor]
    labels: Sequence[str]
    elements: Sequence[str]
    energy_unit: Tensor


class Descriptors(nn.Module, abc.ABC):
    """Descriptors of the neighbourhood of every atom, made once per forward pass for all parts that read them.

    ``size`` is their number D. Invariant, and C2 in the positions, also where a neighbour crosses the cutoff.
    """

    size: int

    @property
    def labels(self) -> Sequence[str]:
        """A name for each of the D descriptors, for figures."""
        return [f"descriptor {number + 1}" for number in range(self.size)]

    @abc.abstractmethod
    def forward(self, geometry: EdgeGeometry) -> LocalDescriptors:
        """Descriptors of every atom [N, D], and of an isolated atom of every species [S, D]."""

    def observe(self, geometry: EdgeGeometry) -> None:
        """Collect statistics of one training batch (no gradients)."""

    def finish_observation(self) -> None:
        """Turn the collected statistics into buffers."""


class PathwayPart(nn.Module):
    """One part of a head. The defaults leave everything as it is."""

    def prepare(self, inputs: PathwayInputs) -> Any:
        """Once per forward pass: what the hooks of all layers share; they get it as ``prepared``."""
        return None

    def edge_gate(self, layer: int, prepared: Any) -> Tensor | None:
        """Factor [N, K, 1] on the scalar edge weights, any number in empty slots; or None."""
        return None

    def edge_term(self, layer: int, prepared: Any) -> tuple[Tensor, Tensor] | None:
        """(b [R, rank], V [rank, edge_channels[layer]]): the addition b V to the scalar weights, or None."""
        return None

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """[N, pool_channels[layer]] -> same shape."""
        return features

    def readout(self, layer: int, features: Tensor, prepared: Any) -> Tensor | None:
        """[N, readout_channels[layer]] -> [N], in the backbone's units before scale and shift, or None."""
        return None

    def panels(self, shown: Shown) -> Sequence[Panel]:
        """What this part has to show of what it has learned, beyond what its hooks show of any part (no gradients)."""
        return ()

    def observe(self, geometry: EdgeGeometry) -> None:
        """Collect input statistics of one training batch (no gradients)."""

    def finish_observation(self) -> None:
        """Turn the collected statistics into buffers."""


class ScalarPathway(nn.Module):
    """A head: parts applied in order, and the neighbourhood descriptors if one of them reads these."""

    def __init__(self, parts: Mapping[str, PathwayPart] | None = None, descriptors: Descriptors | None = None):
        super().__init__()
        self.parts = nn.ModuleDict(parts or {})
        self.descriptors = descriptors

    @property
    def named_parts(self) -> Mapping[str, PathwayPart]:
        """The parts by name, in the order in which they act."""
        return cast("Mapping[str, PathwayPart]", self.parts)

    def prepare(self, geometry: EdgeGeometry, radial: Tensor, *, per_pair: bool = False) -> dict[str, Any]:
        """Once per forward pass, see ``PathwayInputs``; the result goes to every hook as ``context``."""
        local = self.descriptors(geometry) if self.descriptors is not None else None
        return self.prepare_parts(PathwayInputs(geometry, radial, per_pair, local))

    def prepare_parts(self, inputs: PathwayInputs) -> dict[str, Any]:
        """What every part makes of its inputs."""
        return {name: part.prepare(inputs) for name, part in self.named_parts.items()}

    def edge_weights(
        self, layer: int, features: Tensor, matrix: Tensor, n_scalar: int, context: dict[str, Any]
    ) -> tuple[list[Tensor], Tensor | None]:
        """Edge weights F M as blocks of columns, and the gate on the messages that the first block weights.

        features F [R, H], matrix M [H, W]. The first block, [R, n_scalar] with n_scalar = edge_channels[layer], belongs
        to the paths with scalar output and is F M + b V; the second, [R, W - n_scalar], which the head cannot touch, is
        left out where it is empty. The gate [N, K, 1] is left to the backbone, since one number per edge costs less on
        harmonics or sums than on every weight; None: no part has one.
        """
        scalar, other = matrix.tensor_split([n_scalar], dim=1)
        blocks = [features @ scalar]
        for name, part in self.named_parts.items():
            term = part.edge_term(layer, context[name])
            if term is not None:
                blocks[0].addmm_(*term)  # in place: the largest arrays of a head
        if other.shape[1]:
            blocks.append(features @ other)
        return blocks, self.edge_gate(layer, context)

    def edge_gate(self, layer: int, context: dict[str, Any]) -> Tensor | None:
        """Factor [N, K, 1] on the scalar edge weights, the product of those of all parts; None: no part has one."""
        offered = [part.edge_gate(layer, context[name]) for name, part in self.named_parts.items()]
        gates = [gate for gate in offered if gate is not None]
        return math.prod(gates[1:], start=gates[0]) if gates else None

    def pool(self, layer: int, features: Tensor, context: dict[str, Any]) -> Tensor:
        """[N, pool_channels[layer]] -> same shape."""
        if features.requires_grad:
            # gradients arrive here in one memory layout whatever the parts do, so that arms start bit-identical
            features.register_hook(_contiguous)
        for name, part in self.named_parts.items():
            features = part.pool(layer, features, context[name])
        return features

    def readout(self, layer: int, features: Tensor, context: dict[str, Any]) -> Tensor | None:
        """[N, readout_channels[layer]] -> additional atomic energy [N], or None."""
        offered = [part.readout(layer, features, context[name]) for name, part in self.named_parts.items()]
        terms = [term for term in offered if term is not None]
        return torch.stack(terms).sum(0) if terms else None

    @torch.no_grad()
    def calibrate(self, geometries: Iterable[EdgeGeometry]) -> None:
        """Standardise the inputs of all parts on the geometries of the training structures."""
        observers: list[Any] = list(self.named_parts.values())
        if self.descriptors is not None:
            observers.append(self.descriptors)
        for geometry in geometries if observers else ():
            for observer in observers:
                observer.observe(geometry)
        for observer in observers:
            observer.finish_observation()


def _contiguous(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.contiguous()
