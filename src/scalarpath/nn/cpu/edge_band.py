"""The edge band of a head (``heads/pgs.py``) in a C++ kernel, differentiable twice."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from scalarpath.nn.cpu import library
from scalarpath.nn.cpu.differentiable import evaluated
from scalarpath.nn.cpu.library import address, addresses, function

MOST = 64  # orders, or ranks: room for so many in the kernel


def kernel_edge_band(
    distances: Tensor, mix: Tensor, amplitudes: Tensor, pair: Tensor | None, first: int, cutoff: float
) -> Tensor:
    """A_pq sum_m phi_m(r_p) B_mq of distances [P, 1], mix B [M, rank], amplitudes A [.., rank]: [P, rank].

    phi_m = sin(n pi r / cutoff) u(r / cutoff) / r with n = first + m, m = 1 .. M; ``pair`` [P]: the row of A, None: 0.
    """
    return evaluated(_EdgeBand(pair, first, cutoff), distances, mix, amplitudes)


class _Band(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("pairs", "first", "size", "rank", "amplitudes", "threads")),
        ("cutoff", ctypes.c_double),
        ("pair", ctypes.c_void_p),
    ]


@dataclass
class _EdgeBand:
    """A function of distances, mix and amplitudes."""

    pair: Tensor | None
    first: int
    cutoff: float

    def empty(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0].new_empty(inputs[0].shape[0], inputs[1].shape[1])

    def run(
        self,
        inputs: Sequence[Tensor],
        moved: Sequence[Tensor] | None,
        gradient: Tensor | None,
        value: Tensor | None,
        by_inputs: Sequence[Tensor],
    ) -> None:
        distances, mix, amplitudes = inputs
        n_pairs, threads = distances.shape[0], library.threads_for(distances.shape[0])
        sizes = (n_pairs, self.first, *mix.shape, amplitudes.shape[0], threads)
        band = _Band(*sizes, self.cutoff, address(self.pair))
        function("edge_band", distances.dtype)(
            ctypes.byref(band), addresses(inputs), None if moved is None else addresses(moved), address(gradient),
            addresses([value, *by_inputs]),
        )  # fmt: skip
