"""Descriptors of neighbourhoods (``heads/descriptors.py``) in a C++ kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.library import address, addresses, function
from scalarpath.nn.cpu.twice_differentiable import Call, Inputs, empty_like_wanted

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
    statistics = (shells.mean_coordination, shells.mean, shells.spread)
    (values,) = twice_differentiable.apply(_Descriptors(geometry, statistics), *inputs)
    return values


class _Neighbourhood(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("atoms", "shells", "species", "threads")),
        *((name, ctypes.c_void_p) for name in ("first_edge", "neighbour", "element")),
    ]


@dataclass
class _Descriptors:
    """A function of r [E, 1], u [E, 3], radii, inverse widths and weights."""

    geometry: EdgeGeometry
    statistics: Sequence[Tensor]

    def values(self, inputs: Inputs) -> list[Tensor]:
        """Room for the descriptors."""
        return [self.statistics[1].new_empty(self.geometry.n_atoms, self.statistics[1].shape[1])]

    def derivatives(self, inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for derivatives, always by both kinds of geometry."""
        return empty_like_wanted(inputs, [True, True, *wanted[2:]])

    def run(self, call: Call) -> None:
        """See ``Kernel``."""
        geometry, statistics = self.geometry, [x.contiguous() for x in self.statistics]
        indices = [x.contiguous() for x in (geometry.first_edge, geometry.neighbour, geometry.species)]
        n_species, shells = statistics[0].shape
        sizes = (geometry.n_atoms, shells, n_species, library.threads_for(len(geometry.centre)))
        neighbourhood = _Neighbourhood(*sizes, *addresses(indices))
        cutoffs = None if geometry.edge_cutoff is None else geometry.edge_cutoff.contiguous()
        kernel = function("descriptors", statistics[0].dtype)
        kernel(
            ctypes.byref(neighbourhood), address(cutoffs), ctypes.c_double(geometry.cutoff), addresses(statistics),
            *call.pointers(),
        )  # fmt: skip
