"""Real spherical harmonics and Clebsch-Gordan tensors, on e3nn's conventions (component normalisation)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from e3nn import o3
from torch import Tensor, nn


def block(l: int, start: int = 0) -> slice:  # noqa: E741
    """Where degree l sits on an axis that lists (l, m) for l = 0, 1, 2, ...: 2l + 1 entries from start + l^2 on."""
    return slice(start + l * l, start + (l + 1) ** 2)


class SphericalHarmonics(nn.Module):
    """Real spherical harmonics with |Y_l|^2 = 2l + 1 of unit vectors, all degrees 0..l_max on the last axis."""

    def __init__(self, l_max: int):
        super().__init__()
        self.harmonics = o3.SphericalHarmonics(list(range(l_max + 1)), normalize=False, normalization="component")

    def forward(self, unit_vectors: Tensor) -> Tensor:
        """unit_vectors [E, 3] -> [E, (l_max + 1)^2]."""
        return self.harmonics(unit_vectors)


@functools.cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> Tensor:
    """Coupling tensor sqrt(2 l3 + 1) w3j(l1, l2, l3): float64 [2 l1 + 1, 2 l2 + 1, 2 l3 + 1].

    The factor gives the output unit component variance for inputs that have it (e3nn's "component" normalisation).
    """
    return math.sqrt(2 * l3 + 1) * o3.wigner_3j(l1, l2, l3, dtype=torch.float64)


class Coupling(NamedTuple):
    """One path of a tensor product with harmonics: indices of input and output irrep, degree of the harmonic."""

    source: int
    l_edge: int
    target: int


def natural_irreps(l_max: int, channels: int = 1) -> o3.Irreps:
    """channels x (0e + 1o + 2e + ...) up to l_max."""
    return o3.Irreps([(channels, (l, (-1) ** l)) for l in range(l_max + 1)])  # noqa: E741


def couplings(irreps_in: o3.Irreps, l_edge: int, targets: Sequence[o3.Irrep]) -> list[Coupling]:
    """All couplings of ``irreps_in`` with the harmonics 0..l_edge to ``targets`` that conserve parity.

    Ordered by target, then source, then harmonic (within a target the order of upstream MACE and NequIP).
    """
    return [
        Coupling(source, degree, target)
        for target, ir_out in enumerate(targets)
        for source, (_, ir_in) in enumerate(irreps_in)
        for degree in range(l_edge + 1)
        if ir_out in ir_in * o3.Irrep(degree, (-1) ** degree)
    ]
