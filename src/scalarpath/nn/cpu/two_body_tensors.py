"""Tensors of edges, weights times harmonics, in a C++ kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.structs import Indices, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel

MOST_DEGREE = 4  # functions for so many in the kernel


def kernel_two_body_tensors(weights: Tensor, harmonics: Tensor, geometry: EdgeGeometry) -> Tensor | None:
    """[C, N, K, (L + 1)^2], see ``two_body_tensors`` in ``backbones/allegro.py``; None beyond MOST_DEGREE."""
    degree = round(harmonics.shape[2] ** 0.5) - 1
    if degree > MOST_DEGREE:
        return None
    kernel = TwoBody(
        atoms=geometry.n_atoms, slots=geometry.max_degree, channels=weights.shape[1] // (degree + 1), degree=degree,
        threads=library.threads_for(len(geometry.centre)), first_edge=geometry.first_edge, slot=geometry.slot,
    )  # fmt: skip
    (values,) = twice_differentiable.apply(kernel, weights, harmonics)
    return values


@dataclass
class TwoBody(Kernel):
    """A function of the weights and the harmonics."""

    name = "two_body_tensors"

    atoms: int
    slots: int  # of every atom
    channels: int
    degree: int
    threads: int
    first_edge: Indices
    slot: Indices

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the tensors."""
        weights, harmonics = inputs
        return [weights.new_empty(self.channels, *harmonics.shape)]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for both gradients; that by the harmonics is added up."""
        weights, harmonics = inputs
        return [torch.empty_like(weights), torch.zeros_like(harmonics)]
