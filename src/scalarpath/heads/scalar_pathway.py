"""The scalar pathway: the one interface through which a head may touch the invariant (l = 0) channels of a backbone.

A backbone calls the hooks at fixed places; a head is a composition of parts, each of which overrides some of them:

=============  ==============================================================================================
hook           what it does
=============  ==============================================================================================
edge_gate      a factor [E, 1] on the weights of the edge paths with scalar output
edge_term      a low-rank addition ([E, rank], [rank, edge_channels]) to these weights, before the gate
pool           maps the scalar channels of the neighbour sum, [N, pool_channels], to their like
readout        an additional atomic energy [N] from the scalar features of a layer, [N, readout_channels]
=============  ==============================================================================================

The scalar edge weights of every backbone are a linear map of radial features, W = F M, so the gate is applied to the
few features and not to the many weights: g (F M + b V) = (g F) M + (g b) V.

Without parts every hook is the identity, so ``baseline`` is the plain backbone; every part starts as the identity
(its last factor is zero), so all arms of one seed start from the same energies and forces, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.descriptors import LocalDescriptors, NeighbourhoodDescriptors


@dataclass(frozen=True)
class PathwaySpec:
    """What a backbone offers to its head: per layer the widths of the hooks, and what the inputs look like.

    cutoff in Å; n_radial: width of the radial features passed to ``prepare``; one entry per layer in each tuple.
    """

    cutoff: float
    n_species: int
    n_radial: int
    edge_channels: tuple[int, ...]
    pool_channels: tuple[int, ...]
    readout_channels: tuple[int, ...]


class PathwayPart(nn.Module):
    """One part of a head. The defaults leave everything as it is."""

    def prepare(self, geometry: EdgeGeometry, radial: Tensor, descriptors: LocalDescriptors | None) -> Any:
        """Once per forward pass: what the hooks of all layers share. radial [E, n_radial]."""
        return None

    def edge_gate(self, layer: int, prepared: Any) -> Tensor | None:
        """Factor [E, 1] on the scalar edge weights, or None."""
        return None

    def edge_term(self, layer: int, prepared: Any) -> tuple[Tensor, Tensor] | None:
        """(b [E, rank], V [rank, edge_channels[layer]]): the addition b V to the scalar edge weights, or None."""
        return None

    def pool(self, layer: int, features: Tensor, prepared: Any) -> Tensor:
        """[N, pool_channels[layer]] -> same shape."""
        return features

    def readout(self, layer: int, features: Tensor, prepared: Any) -> Tensor | None:
        """[N, readout_channels[layer]] -> [N], in the backbone's units before scale and shift, or None."""
        return None

    def observe_edges(self, geometry: EdgeGeometry) -> None:
        """Collect input statistics of one training batch (no gradients)."""

    def finish_observation(self) -> None:
        """Turn the collected statistics into buffers."""


class ScalarPathway(nn.Module):
    """A head: parts applied in order, and the neighbourhood descriptors if one of them reads these."""

    def __init__(
        self, parts: Mapping[str, PathwayPart] | None = None, descriptors: NeighbourhoodDescriptors | None = None
    ):
        super().__init__()
        self.parts = nn.ModuleDict(parts or {})
        self.descriptors = descriptors
        overriding = lambda hook: [  # noqa: E731
            name for name, part in self.parts.items() if getattr(type(part), hook) is not getattr(PathwayPart, hook)
        ]
        self._hooks = {hook: overriding(hook) for hook in ("edge_gate", "edge_term", "pool", "readout")}

    def prepare(self, geometry: EdgeGeometry, radial: Tensor) -> dict[str, Any]:
        """Once per forward pass; the result goes to every hook as ``context``."""
        descriptors = self.descriptors(geometry) if self.descriptors is not None else None
        return {name: part.prepare(geometry, radial, descriptors) for name, part in self.parts.items()}

    def edge_weights(self, layer: int, features: Tensor, matrix: Tensor, context: dict[str, Any]) -> Tensor:
        """features [E, H], matrix [H, edge_channels[layer]] -> scalar edge weights [E, edge_channels[layer]]."""
        gates = [self.parts[name].edge_gate(layer, context[name]) for name in self._hooks["edge_gate"]]
        for gate in gates:
            features = features * gate
        weights = features @ matrix
        for name in self._hooks["edge_term"]:
            left, right = self.parts[name].edge_term(layer, context[name])
            for gate in gates:
                left = left * gate
            weights = torch.addmm(weights, left, right)
        return weights

    def pool(self, layer: int, features: Tensor, context: dict[str, Any]) -> Tensor:
        """[N, pool_channels[layer]] -> same shape."""
        for name in self._hooks["pool"]:
            features = self.parts[name].pool(layer, features, context[name])
        return features

    def readout(self, layer: int, features: Tensor, context: dict[str, Any]) -> Tensor | None:
        """[N, readout_channels[layer]] -> additional atomic energy [N], or None."""
        terms = [self.parts[name].readout(layer, features, context[name]) for name in self._hooks["readout"]]
        return torch.stack(terms).sum(0) if terms else None

    @torch.no_grad()
    def calibrate(self, geometries: Iterable[EdgeGeometry]) -> None:
        """Standardise the inputs of all parts on the geometries of the training structures."""
        if not self.parts:
            return
        for geometry in geometries:
            if self.descriptors is not None:
                self.descriptors.observe(geometry)
            for part in self.parts.values():
                part.observe_edges(geometry)
        if self.descriptors is not None:
            self.descriptors.finish_observation()
        for part in self.parts.values():
            part.finish_observation()
