"""Low-rank features of pairs of atoms from a band of short waves (``EdgeBand`` in ``heads/pgs.py``) in a C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scalarpath.graph.geometry import EdgeDistances
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.structs import Indices, Numbers, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel, empty_like_wanted


def kernel_edge_band(
    geometry: EdgeDistances, frequencies: Tensor, mix: Tensor, amplitudes: Tensor, kind: Tensor | None
) -> Tensor:
    """Features [P, rank], see ``band_features`` in ``heads/pgs.py``; it relies on neighbouring multiples of pi / rc."""
    pairs = len(geometry.distances)
    kernel = Band(
        pairs=pairs, size=len(mix), rank=mix.shape[1], kinds=len(amplitudes), threads=library.threads_for(pairs),
        kind=kind, frequencies=frequencies, cutoff=geometry.cutoff, cutoffs=geometry.edge_cutoff,
    )  # fmt: skip
    (values,) = twice_differentiable.apply(kernel, geometry.distances, mix, amplitudes)
    return values


@dataclass
class Band(Kernel):
    """A function of r [P, 1], A [size, rank] and a [kinds, rank]."""

    name = "edge_band"

    pairs: int
    size: int
    rank: int
    kinds: int
    threads: int
    kind: Indices | None
    frequencies: Numbers
    cutoff: float
    cutoffs: Numbers | None

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the features."""
        return [inputs[0].new_empty(self.pairs, self.rank)]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradients, always for those by the distances."""
        return empty_like_wanted(inputs, [True, *wanted[1:]])
