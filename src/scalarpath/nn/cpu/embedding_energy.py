"""Embedding energies from descriptors (``EmbeddingReadout`` in ``heads/pgs.py``) in a C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.structs import Indices, Numbers, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel, empty_like_wanted


class Weighted(Protocol):
    """What the kernel reads of ``SpectralExpansion``: weights of sines and cosines of omega_k = k pi / 2."""

    weight: Tensor  # [2 orders]


def kernel_embedding_energy(
    geometry: EdgeGeometry, descriptors: Tensor, coefficients: Tensor, expansion: Weighted, origin: Tensor
) -> Tensor:
    """Energies [N], see ``embedding_energy`` in ``heads/pgs.py``; weights and origin get no derivatives."""
    species, channels, functions = coefficients.shape
    kernel = Energies(
        atoms=geometry.n_atoms, channels=channels, orders=functions // 2, species=species,
        threads=library.threads_for(len(geometry.centre)),
        element=geometry.species, first_edge=geometry.first_edge, weight=expansion.weight, origin=origin,
    )  # fmt: skip
    (values,) = twice_differentiable.apply(kernel, descriptors, coefficients)
    return values


@dataclass
class Energies(Kernel):
    """A function of d [N, C] and (a, b) [S, C, 2 orders]."""

    name = "embedding_energy"

    atoms: int
    channels: int
    orders: int
    species: int
    threads: int
    element: Indices
    first_edge: Indices
    weight: Numbers
    origin: Numbers

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the energies."""
        return [inputs[0].new_empty(self.atoms)]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradients, always for those by the descriptors."""
        return empty_like_wanted(inputs, [True, *wanted[1:]])
