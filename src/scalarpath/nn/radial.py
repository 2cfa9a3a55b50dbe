"""Radial functions: cutoff envelope, Bessel and Fourier-Bessel bases, distance transform.

All take distances r [E, 1] in Å and are smooth in r; everything on the energy path is multiplied by an envelope that
vanishes at the cutoff with two continuous derivatives (XPLOR's, of imported models: with one).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeDistances
from scalarpath.nn.elementwise import Elementwise, Envelope, elementwise


def polynomial_cutoff(x: Tensor, p: float | Tensor) -> Tensor:
    """Envelope u_p(x) of x = r / cutoff, zero for x >= 1, C2 there; see ``Envelope``."""
    return elementwise(Envelope(p), x)


class BesselBasis(nn.Module):
    """sin(n pi x / rc) / x for n = 1..size times ``prefactor``, without envelope.

    The prefactor is sqrt(2/rc) (DimeNet, eq. 7) where none is given. The frequencies are a buffer, so that upstream
    models with other values can be imported, or trainable parameters.
    """

    frequencies: Tensor

    def __init__(self, size: int, cutoff: float, prefactor: float | None = None, trainable: bool = False):
        super().__init__()
        self.prefactor = math.sqrt(2.0 / cutoff) if prefactor is None else prefactor
        frequencies = math.pi / cutoff * torch.arange(1, size + 1, dtype=torch.float64)
        if trainable:
            self.frequencies = nn.Parameter(frequencies)
        else:
            self.register_buffer("frequencies", frequencies)

    def forward(self, x: Tensor) -> Tensor:
        """x [E, 1] (Å, or a transformed distance) -> [E, size]."""
        if self.frequencies.requires_grad:
            return self.prefactor * torch.sin(self.frequencies * x) / x
        return elementwise(_Bessel(self.frequencies, self.prefactor), x.expand(-1, len(self.frequencies)))


@dataclass(frozen=True)
class _Bessel:
    """b = c sin(k x) / x with fixed k, one for every column; x b solves the equation of a wave."""

    k: Tensor
    c: float

    def value(self, x: Tensor) -> Tensor:
        """b(x)."""
        return torch.sin(self.k * x).mul_(self.c).div_(x)

    def times_slope(self, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """g b'(x)."""
        return self._slope(x, y).mul_(gradient)

    def times_curvature(self, u: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """u b''(x) = -u (k^2 b + 2 b' / x)."""
        return self._slope(x, y).div_(x).mul_(-2.0).addcmul_(y, self.k.square(), value=-1.0).mul_(u)

    def _slope(self, x: Tensor, y: Tensor) -> Tensor:
        """b' = (c k cos(k x) - b) / x."""
        return torch.cos(self.k * x).mul_(self.c * self.k).sub_(y).div_(x)


class GaussianBasis(nn.Module):
    """exp(-(x - x_n)^2 / (2 d^2)), centres spread over [0, cutoff], d their distance."""

    centres: Tensor

    def __init__(self, size: int, cutoff: float):
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.0, cutoff, size, dtype=torch.float64))
        self.coefficient = -0.5 / (cutoff / (size - 1)) ** 2

    def forward(self, x: Tensor) -> Tensor:
        """x [E, 1] -> [E, size]."""
        return torch.exp(self.coefficient * (x - self.centres).square())


class CosineSplineBasis(nn.Module):
    """Bumps (1 - cos(2 pi (y - y_k) / w))^2 / 4 on [y_k, y_k + w], y = x / cutoff: zero beyond the cutoff, C3.

    ``span`` of the ``size`` bumps overlap; w = (span + 1) / size, y_k = (k - span) / size (Allegro's spline embedding).
    """

    lower: Tensor

    def __init__(self, size: int, cutoff: float, span: int):
        super().__init__()
        self.cutoff = cutoff
        self.width = (span + 1) / size
        self.register_buffer("lower", torch.arange(-span, size - span, dtype=torch.float64) / size)

    def forward(self, x: Tensor) -> Tensor:
        """x [E, 1] -> [E, size]."""
        inside = (x / self.cutoff - self.lower).clamp(0.0, self.width)
        return 0.25 * (1.0 - torch.cos(2.0 * math.pi / self.width * inside)).square()


RADIAL_BASES: dict[str, type[nn.Module]] = {"bessel": BesselBasis, "gaussian": GaussianBasis}


class AgnesiTransform(nn.Module):
    """x = 1 / (1 + a y^q / (1 + y^(q - p))), y = r / mean covalent radius of the pair (doi:10.1063/5.0158783)."""

    radii: Tensor
    q: Tensor
    p: Tensor
    a: Tensor

    def __init__(self, atomic_numbers: Sequence[int]):
        super().__init__()
        self.register_buffer("radii", torch.tensor(covalent_radii[list(atomic_numbers)], dtype=torch.float64))
        for name, value in (("q", 0.9183), ("p", 4.5791), ("a", 1.0805)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def forward(self, r: Tensor, species_i: Tensor, species_j: Tensor) -> Tensor:
        """r [E, 1], species indices [E] of both ends -> [E, 1] in (0, 1)."""
        x = r / (0.5 * (self.radii[species_i] + self.radii[species_j]))[:, None]
        return 1.0 / (1.0 + self.a * x.pow(self.q) / (1.0 + x.pow(self.q - self.p)))


class SoftTransform(nn.Module):
    """x = p0 + (r - p0) (1 + tanh(alpha (r - m))) / 2: from p0, 3/4 of the sum of covalent radii, over to r."""

    radii: Tensor
    alpha: Tensor

    def __init__(self, atomic_numbers: Sequence[int]):
        super().__init__()
        self.register_buffer("radii", torch.tensor(covalent_radii[list(atomic_numbers)], dtype=torch.float64))
        self.register_buffer("alpha", torch.tensor(4.0, dtype=torch.float64))

    def forward(self, r: Tensor, species_i: Tensor, species_j: Tensor) -> Tensor:
        """r [E, 1], species indices [E] of both ends -> [E, 1], Å."""
        contact = (self.radii[species_i] + self.radii[species_j])[:, None]
        low, high = 0.75 * contact, 4.0 / 3.0 * contact
        switch = 0.5 * (1.0 + torch.tanh(self.alpha / (high - low) * (r - 0.5 * (low + high))))
        return low + (r - low) * switch


DISTANCE_TRANSFORMS: dict[str, type[nn.Module]] = {"agnesi": AgnesiTransform, "soft": SoftTransform}


class RadialEmbedding(nn.Module):
    """Radial features R_n(r) u(r / rc); the basis may read a transformed distance, the envelope always the true one."""

    def __init__(self, basis: nn.Module, envelope: float | Elementwise, transform: nn.Module | None = None):
        """``envelope``: the exponent of the polynomial one, or another."""
        super().__init__()
        self.basis, self.transform = basis, transform
        self.envelope = Envelope(envelope) if isinstance(envelope, int | float) else envelope

    def forward(self, geometry: EdgeDistances) -> tuple[Tensor, Tensor]:
        """Basis without envelope [E, size], envelope [E, 1]."""
        x = geometry.stretched_distances
        if self.transform is not None:
            x = self.transform(geometry.distances, geometry.centre_species, geometry.neighbour_species)
        return self.basis(x), elementwise(self.envelope, geometry.scaled_distances)


def semicircle_taper(size: int, beta: float) -> Tensor:
    """Exponential-of-semicircle window exp(beta (sqrt(1 - (m/(size+1))^2) - 1)), m = 1..size: float64 [size].

    The window of non-uniform FFTs (Barnett, Magland, af Klinteberg, SIAM J. Sci. Comput. 41, C479, 2019), used here to
    damp the high end of a band: 1 at its start, exp(-beta) just beyond its end.
    """
    m = torch.arange(1, size + 1, dtype=torch.float64) / (size + 1)
    return torch.exp(beta * (torch.sqrt(1.0 - m.square()) - 1.0))
