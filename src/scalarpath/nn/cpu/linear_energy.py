"""Energies of a fitted linear potential (``heads/linear.py``) in a C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.structs import Indices, Numbers, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel, empty_like_wanted

MOST_SINES, MOST_DEGREE, MOST_EXPONENTS = 32, 4, 8  # room for so many in the kernel


class Harmonics(Protocol):
    """What the kernel reads of ``SphericalHarmonics``."""

    gradient: Tensor  # [3, l_max^2, (l_max + 1)^2]


class Fitted(Protocol):
    """What the kernel reads of ``LinearPotential``."""

    n_species: int
    radial: int
    l_max: int
    origin: float
    smooth_root: float
    exponents: Tensor  # [X]
    coefficients: Tensor
    harmonics: Harmonics

    def tables(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients by pair, of embedding functions, and of products."""


def kernel_linear_energy(linear: Fitted, geometry: EdgeGeometry) -> Tensor | None:
    """Atomic energies [N], float64; None where there are more functions than the kernel has room for."""
    pairs, embedded, products = linear.tables(linear.coefficients)
    sines, exponents = pairs.shape[1], len(linear.exponents)
    if sines > MOST_SINES or linear.l_max > MOST_DEGREE or exponents > MOST_EXPONENTS:
        return None
    cutoffs = None if geometry.edge_cutoff is None else geometry.edge_cutoff.double()
    kernel = LinearEnergy(
        atoms=geometry.n_atoms, species=linear.n_species, sines=sines, radial=linear.radial, l_max=linear.l_max,
        exponents=exponents, threads=library.threads_for(len(geometry.centre)), first_edge=geometry.first_edge,
        neighbour=geometry.neighbour, element=geometry.species, cutoff=geometry.cutoff, cutoffs=cutoffs,
        origin=linear.origin, smooth_root=linear.smooth_root, decays=linear.exponents, pairs=pairs, embedded=embedded,
        products=products, slopes=linear.harmonics.gradient,
    )  # fmt: skip
    (values,) = twice_differentiable.apply(kernel, geometry.distances.double(), geometry.units.double())
    return values


@dataclass
class LinearEnergy(Kernel):
    """A function of r [E, 1] and u [E, 3]."""

    name = "linear_energy"

    atoms: int
    species: int
    sines: int
    radial: int
    l_max: int
    exponents: int
    threads: int
    first_edge: Indices
    neighbour: Indices
    element: Indices
    cutoff: float
    cutoffs: Numbers | None
    origin: float
    smooth_root: float
    decays: Numbers
    pairs: Numbers
    embedded: Numbers
    products: Numbers
    slopes: Numbers

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the energies."""
        return [inputs[0].new_empty(self.atoms)]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradients, always for both."""
        return empty_like_wanted(inputs, [True, True])
