"""Tensors of edges, weights times harmonics, in a C++ kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.library import addresses, function
from scalarpath.nn.cpu.twice_differentiable import Call, Inputs

MOST_DEGREE = 4  # functions for so many in the kernel


def kernel_two_body_tensors(weights: Tensor, harmonics: Tensor, geometry: EdgeGeometry) -> Tensor | None:
    """[C, N, K, (L + 1)^2], see ``two_body_tensors`` in ``backbones/allegro.py``; None beyond MOST_DEGREE."""
    degree = round(harmonics.shape[2] ** 0.5) - 1
    if degree > MOST_DEGREE:
        return None
    (values,) = twice_differentiable.apply(_Tensors(geometry, degree), weights, harmonics)
    return values


class _Sizes(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("atoms", "slots", "channels", "threads")),
        *((name, ctypes.c_void_p) for name in ("first_edge", "slot")),
    ]


@dataclass
class _Tensors:
    geometry: EdgeGeometry
    degree: int

    def values(self, inputs: Inputs) -> list[Tensor]:
        """Room for the tensors."""
        weights, harmonics = inputs
        return [weights.new_empty(weights.shape[1] // (self.degree + 1), *harmonics.shape)]

    def derivatives(self, inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for both derivatives; that by harmonics is added up."""
        weights, harmonics = inputs
        return [torch.empty_like(weights), torch.zeros_like(harmonics)]

    def run(self, call: Call) -> None:
        """See ``Kernel``."""
        geometry, weights = self.geometry, call.inputs[0]
        indices = [x.contiguous() for x in (geometry.first_edge, geometry.slot)]
        channels, threads = weights.shape[1] // (self.degree + 1), library.threads_for(len(geometry.centre))
        sizes = _Sizes(geometry.n_atoms, geometry.max_degree, channels, threads, *addresses(indices))
        function("two_body_tensors", weights.dtype)(ctypes.byref(sizes), ctypes.c_int64(self.degree), *call.pointers())
