"""Embedding energies from descriptors (``EmbeddingReadout`` in ``heads/pgs.py``) in a C++ kernel."""

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


class Weighted(Protocol):
    """What the kernel reads of ``SpectralExpansion``: weights of sines and cosines of omega_k = k pi / 2."""

    weight: Tensor  # [2 orders]


def kernel_embedding_energy(
    geometry: EdgeGeometry, descriptors: Tensor, coefficients: Tensor, expansion: Weighted, origin: Tensor
) -> Tensor:
    """Energies [N], see ``embedding_energy`` in ``heads/pgs.py``; weights and origin get no derivatives."""
    (values,) = twice_differentiable.apply(_Energies(geometry, expansion.weight, origin), descriptors, coefficients)
    return values


class _Atoms(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("atoms", "channels", "orders", "species", "threads")),
        *((name, ctypes.c_void_p) for name in ("element", "first_edge")),
    ]


@dataclass
class _Energies:
    geometry: EdgeGeometry
    weight: Tensor
    origin: Tensor

    def values(self, inputs: Inputs) -> list[Tensor]:
        """Room for the energies."""
        return [inputs[0].new_empty(self.geometry.n_atoms)]

    def derivatives(self, inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for derivatives, always by the descriptors."""
        return empty_like_wanted(inputs, [True, *wanted[1:]])

    def run(self, call: Call) -> None:
        """See ``Kernel``."""
        geometry, (species, channels, functions) = self.geometry, call.inputs[1].shape
        kept = [x.contiguous() for x in (geometry.species, geometry.first_edge, self.weight, self.origin)]
        threads = library.threads_for(len(geometry.centre))
        atoms = _Atoms(geometry.n_atoms, channels, functions // 2, species, threads, *addresses(kept[:2]))
        function("embedding_energy", self.weight.dtype)(
            ctypes.byref(atoms), address(kept[2]), address(kept[3]), *call.pointers()
        )
