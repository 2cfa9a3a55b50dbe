"""Gates of the scalar pathway (``heads/pan.py``) in C++ kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.structs import Indices, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel


def kernel_node_gates(geometry: EdgeGeometry, networks: Sequence[Tensor], strength: float) -> tuple[Tensor, ...]:
    """Gates of every layer and atom [N, width] each, see ``node_gates`` in ``heads/pan.py``."""
    return twice_differentiable.apply(_gates(Gates, geometry, networks, strength), *networks)


def kernel_edge_gates(
    geometry: EdgeGeometry, networks: Sequence[Tensor], strength: float, radial: Tensor, per_pair: bool
) -> tuple[Tensor, ...]:
    """Gates of every layer and edge on the padded layout [N, K, 1] each, see ``edge_gates`` in ``heads/pan.py``."""
    kernel = _gates(EdgeGates, geometry, networks, strength, radial.shape[1], per_pair)
    return twice_differentiable.apply(kernel, *networks, radial)


@dataclass
class Gates(Kernel):
    """A function of descriptors, W1, embedding, W2 of every layer and, on edges, of radial features."""

    name = "node_gates"

    atoms: int
    slots: int  # of every atom
    descriptors: int
    layers: int
    hidden: int  # units of one layer
    species: int
    functions: int  # radial features of an edge
    rows: int  # of the radial features
    threads: int
    widths: Indices  # of the network of every layer
    element: Indices
    first_edge: Indices
    neighbour: Indices
    slot: Indices
    row: Indices | None  # of the radial features, for every edge; null on the edge layout
    edge_of: Indices | None  # an edge that reads a row; likewise
    reverse: Indices | None  # the other edge of an edge's pair; null where every edge is a pair by itself
    strength: float
    slopes: Tensors = ()  # derivatives of the gates by their arguments, made with the values and read for the vjp

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the gates of every layer, zero in empty slots."""
        out = self._gates(inputs)
        if not self.slopes:
            self.slopes = [torch.empty_like(x) for x in out]
        return out

    def _gates(self, inputs: Tensors) -> list[Tensor]:
        return [inputs[0].new_empty(self.atoms, w2.shape[1]) for w2 in inputs[3:]]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradients: those by parameters are added up, that by the zero row stays zero."""
        return [torch.zeros_like(x) if want else None for x, want in zip(inputs, [True, *wanted[1:]], strict=True)]


class EdgeGates(Gates):
    """The same on edges."""

    name = "edge_gates"

    def _gates(self, inputs: Tensors) -> list[Tensor]:
        return [inputs[0].new_zeros(self.atoms, self.slots, 1) for _ in inputs[3:-1]]


def _gates(
    kind: type[Gates],
    geometry: EdgeGeometry,
    networks: Sequence[Tensor],
    strength: float,
    functions: int = 0,
    per_pair: bool = False,
) -> Gates:
    _, w1, embedding, *w2 = networks
    edges = len(geometry.centre)
    return kind(
        atoms=geometry.n_atoms, slots=geometry.max_degree, descriptors=len(w1), layers=len(w2),
        hidden=w1.shape[1] // len(w2), species=len(embedding), functions=functions,
        rows=len(geometry.pair_edge) if per_pair else edges, threads=library.threads_for(edges),
        widths=torch.tensor([w.shape[1] for w in w2]), element=geometry.species, first_edge=geometry.first_edge,
        neighbour=geometry.neighbour, slot=geometry.slot, row=geometry.edge_pair if per_pair else None,
        edge_of=geometry.pair_edge if per_pair else None, reverse=geometry.edge_reverse if per_pair else None,
        strength=strength,
    )  # fmt: skip
