"""Low-rank features of pairs of atoms from a band of short waves (``EdgeBand`` in ``heads/pgs.py``) in a C++ kernel."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scalarpath.graph.geometry import EdgeDistances
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.library import address, function
from scalarpath.nn.cpu.twice_differentiable import Call, Inputs, empty_like_wanted


def kernel_edge_band(
    geometry: EdgeDistances, frequencies: Tensor, mix: Tensor, amplitudes: Tensor, kind: Tensor | None
) -> Tensor:
    """Features [P, rank], see ``band_features`` in ``heads/pgs.py``; it relies on neighbouring multiples of pi / rc."""
    (values,) = twice_differentiable.apply(_Band(geometry, frequencies, kind), geometry.distances, mix, amplitudes)
    return values


class _Sizes(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("pairs", "size", "rank", "kinds", "first", "threads")),
        ("kind", ctypes.c_void_p),
    ]


@dataclass
class _Band:
    geometry: EdgeDistances
    frequencies: Tensor
    kind: Tensor | None

    def values(self, inputs: Inputs) -> list[Tensor]:
        """Room for the features."""
        distances, mix, _ = inputs
        return [distances.new_empty(distances.shape[0], mix.shape[1])]

    def derivatives(self, inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for derivatives, always by the distances."""
        return empty_like_wanted(inputs, [True, *wanted[1:]])

    def run(self, call: Call) -> None:
        """See ``Kernel``."""
        distances, mix, amplitudes = call.inputs
        kind = None if self.kind is None else self.kind.contiguous()
        given = self.geometry.edge_cutoff
        cutoffs = None if given is None else given.contiguous()
        pairs, first = distances.shape[0], round(float(self.frequencies[0]) * self.geometry.cutoff / math.pi) - 1
        sizes = _Sizes(pairs, *mix.shape, len(amplitudes), first, library.threads_for(pairs), address(kind))
        function("edge_band", distances.dtype)(
            ctypes.byref(sizes), address(cutoffs), ctypes.c_double(self.geometry.cutoff), *call.pointers()
        )
