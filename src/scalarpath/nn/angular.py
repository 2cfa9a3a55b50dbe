"""Real spherical harmonics and Clebsch-Gordan tensors, on e3nn's conventions (component normalisation)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from scalarpath.nn.irreps import irrep, irreps, wigner_3j

if TYPE_CHECKING:
    from e3nn import o3


def block(l: int, start: int = 0) -> slice:  # noqa: E741
    """Where degree l sits on an axis that lists (l, m) for l = 0, 1, 2, ...: 2l + 1 entries from start + l^2 on."""
    return slice(start + l * l, start + (l + 1) ** 2)


class SphericalHarmonics(nn.Module):
    """Real spherical harmonics with |Y_l|^2 = 2l + 1 of unit vectors, all degrees 0..l_max on the last axis.

    Y_l are polynomials of degree l that solve Laplace's equation. Hence their gradient is a sum of those of degree
    l - 1, dY_lm / dx_a = sum_m' D_a,m',m Y_(l-1)m', and x . grad Y_l = l Y_l gives the values one after another.
    """

    gradient: Tensor

    def __init__(self, l_max: int):
        super().__init__()
        self.l_max = l_max
        gradient = torch.zeros(3, l_max**2, (l_max + 1) ** 2, dtype=torch.float64)
        for degree in range(1, l_max + 1):
            # the one coupling of Y_(l-1) and x that has degree l, scaled so that both sides agree at the pole
            coupling = wigner_3j(degree - 1, 1, degree)
            scale = degree * math.sqrt((2 * degree + 1) / (2 * degree - 1)) / coupling[degree - 1, 1, degree]
            gradient[:, block(degree - 1), block(degree)] = scale * coupling.transpose(0, 1)
        self.register_buffer("gradient", gradient, persistent=False)

    def forward(self, unit_vectors: Tensor) -> Tensor:
        """unit_vectors [E, 3] -> [E, (l_max + 1)^2]."""
        return _Harmonics.apply(unit_vectors, self.gradient).T.contiguous()


class _Harmonics(torch.autograd.Function):
    """Harmonics of x [E, 3], numbers first, so that arithmetic vectorises along E: [(l_max + 1)^2, E]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient: Tensor) -> Tensor:
        components = x.T[:, None]
        values = [torch.ones_like(components[0])]
        for degree in range(1, math.isqrt(gradient.shape[2])):
            slopes = gradient[:, block(degree - 1), block(degree)].transpose(1, 2) @ values[-1]  # [3, 2l + 1, E]
            values.append((slopes * components).sum(0) / degree)
        out = torch.cat(values)
        ctx.save_for_backward(out, gradient)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        """sum_lm g_lm dY_lm / dx, from the values, which know how they depend on x."""
        values, gradient = ctx.saved_tensors
        return ((gradient @ g) * values[: gradient.shape[1]]).sum(1).T, None


@functools.cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> Tensor:
    """Coupling tensor sqrt(2 l3 + 1) w3j(l1, l2, l3): float64 [2 l1 + 1, 2 l2 + 1, 2 l3 + 1].

    The factor gives the output unit component variance for inputs that have it (e3nn's "component" normalisation).
    """
    return math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3)


class Coupling(NamedTuple):
    """One path of a tensor product with harmonics: indices of input and output irrep, degree of the harmonic."""

    source: int
    l_edge: int
    target: int


def natural_irreps(l_max: int, channels: int = 1) -> o3.Irreps:
    """channels x (0e + 1o + 2e + ...) up to l_max."""
    return irreps([(channels, (l, (-1) ** l)) for l in range(l_max + 1)])  # noqa: E741


def couplings(irreps_in: o3.Irreps, l_edge: int, targets: Sequence[o3.Irrep], parity: int = -1) -> list[Coupling]:
    """All couplings of ``irreps_in`` with the harmonics 0..l_edge to ``targets`` that conserve parity.

    Ordered by target, then source, then harmonic (within a target the order of upstream MACE and NequIP). ``parity`` is
    that of the harmonics of degree 1; with 1, and even irreps throughout, all that rotations allow is there.
    """
    return [
        Coupling(source, degree, target)
        for target, ir_out in enumerate(targets)
        for source, (_, ir_in) in enumerate(irreps_in)
        for degree in range(l_edge + 1)
        if ir_out in ir_in * irrep(degree, parity**degree)
    ]
