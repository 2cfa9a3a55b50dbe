"""Real spherical harmonics and Clebsch-Gordan tensors, on e3nn's conventions (component normalisation)."""

from __future__ import annotations

import functools
import math

import torch
from e3nn import o3
from torch import Tensor, nn


def block(l: int) -> slice:  # noqa: E741
    """Where degree l sits on an axis that lists (l, m) for l = 0, 1, 2, ...: 2l + 1 entries from l^2 on."""
    return slice(l * l, (l + 1) ** 2)


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


def natural_parity_paths(l_in: int, l_edge: int, l_out: int) -> list[tuple[int, int, int]]:
    """Couplings (l1, l2, l3) of features 0..l_in with harmonics 0..l_edge to 0..l_out that conserve parity (-1)^l.

    Ordered by l3, then l1, then l2, so that the scalar outputs come first (the order of upstream MACE's weights).
    """
    return [
        (l1, l2, l3)
        for l3 in range(l_out + 1)
        for l1 in range(l_in + 1)
        for l2 in range(l_edge + 1)
        if abs(l1 - l2) <= l3 <= l1 + l2 and (l1 + l2 + l3) % 2 == 0
    ]
