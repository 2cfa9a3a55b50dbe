"""Descriptors of neighbourhoods (``heads/descriptors.py``) in a C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.structs import Indices, Numbers, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel, empty_like_wanted

MOST_SHELLS = 16  # room for so many in the kernel


class Shells(Protocol):
    """What the kernel reads of ``NeighbourhoodDescriptors``: K shells, S species; the statistics get no derivatives."""

    radii: Tensor  # [K]
    inverse_widths: Tensor  # [K]
    weights: Tensor  # [K, S]
    mean_coordination: Tensor  # [S, K]
    mean: Tensor  # [S, K + 3]
    spread: Tensor  # [S, K + 3]


def kernel_descriptors(shells: Shells, geometry: EdgeGeometry) -> Tensor | None:
    """Standardised descriptors [N, K + 3]; None for more than MOST_SHELLS shells."""
    if len(shells.radii) > MOST_SHELLS:
        return None
    inputs = (geometry.distances, geometry.units, shells.radii, shells.inverse_widths, shells.weights)
    kernel = Descriptors(
        atoms=geometry.n_atoms, shells=len(shells.radii), species=shells.weights.shape[1],
        threads=library.threads_for(len(geometry.centre)), first_edge=geometry.first_edge,
        neighbour=geometry.neighbour, element=geometry.species, cutoff=geometry.cutoff, cutoffs=geometry.edge_cutoff,
        coordination=shells.mean_coordination, mean=shells.mean, spread=shells.spread,
    )  # fmt: skip
    (values,) = twice_differentiable.apply(kernel, *inputs)
    return values


@dataclass
class Descriptors(Kernel):
    """A function of r [E, 1], u [E, 3], radii, inverse widths and weights."""

    name = "descriptors"

    atoms: int
    shells: int
    species: int
    threads: int
    first_edge: Indices
    neighbour: Indices
    element: Indices
    cutoff: float
    cutoffs: Numbers | None
    coordination: Numbers
    mean: Numbers
    spread: Numbers

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the descriptors."""
        return [inputs[0].new_empty(self.atoms, self.shells + 3)]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradients, always for those by distances and directions."""
        return empty_like_wanted(inputs, [True, True, *wanted[2:]])
