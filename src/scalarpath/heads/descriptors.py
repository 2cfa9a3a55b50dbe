"""Invariant descriptors of an atom's neighbourhood: coordination, density, geometric distortion."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.neighbour_sum import neighbour_sum
from scalarpath.nn.radial import polynomial_cutoff

WEIGHT_OFFSET = 0.1  # keeps the weighted moments finite and smooth when the last neighbour leaves
MIN_SPREAD = 1e-3  # smallest standard deviation used, so that a constant descriptor is not blown up
ENVELOPE_EXPONENT = 6


class LocalDescriptors(NamedTuple):
    """Standardised descriptors of the atoms of a batch [N, D], and those of an isolated atom of each species [S, D]."""

    values: Tensor
    isolated: Tensor


class NeighbourhoodDescriptors(nn.Module):
    """d_i = [zeta^1..zeta^K, spread, polarity, quadrupole], standardised per species on the training set: [N, K + 3].

    Soft shells F_k(r) = sigmoid((R_k - r) / s_k), envelope u, neighbour weights q_{k,Z} > 0:

    * coordination n^k = sum_j q_{k,Zj} F_k(r_ij) u_ij and zeta^k = (n^k - nbar^k_Z) / (n^k + nbar^k_Z);
    * with w = F_K u, W = sum_j w + 0.1: spread sum(w x^2)/W - (sum(w x)/W)^2 of x = r / cutoff, polarity
      |sum w r|^2/W^2, quadrupole |sum w (r r^T - I/3)|_F^2 / W^2 (unit vectors r).

    All are C2 across the cutoff, intensive, invariant, and see only the neighbours of atom i. The standardised value
    z is passed through asinh: linear within the training spread, logarithmic outside, so that an unseen neighbourhood
    stays within the range of what was learnt. This project's design (PAN conditions on "local coordination, density,
    or geometric distortion", arXiv:2606.15892).
    """

    mean_coordination: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, cutoff: float, n_species: int, shells: int = 4):
        super().__init__()
        self.shells = shells
        self.size = shells + 3
        self.radii = nn.Parameter(torch.linspace(0.35, 0.80, shells, dtype=torch.float64) * cutoff)
        width = torch.full((shells,), 0.04 * cutoff, dtype=torch.float64)
        self.min_width = 0.02 * cutoff
        self.raw_widths = nn.Parameter(torch.log(torch.expm1(width)))
        one = torch.ones(shells, n_species, dtype=torch.float64)
        self.raw_weights = nn.Parameter(torch.log(torch.expm1(one)))
        self.register_buffer("mean_coordination", torch.ones(n_species, shells, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(n_species, self.size, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(n_species, self.size, dtype=torch.float64))
        self._observed: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, geometry: EdgeGeometry) -> LocalDescriptors:
        """Standardised descriptors of every atom, D = K + 3."""
        coordination, shape = self._moments(geometry)
        every = torch.arange(self.mean.shape[0], device=self.mean.device)
        nothing = torch.zeros_like(self.mean)
        return LocalDescriptors(
            self._standardise(self._raw(coordination, shape, geometry.species), geometry.species),
            self._standardise(self._raw(nothing[:, : self.shells], nothing[:, self.shells :], every), every),
        )

    def _moments(self, geometry: EdgeGeometry) -> tuple[Tensor, Tensor]:
        """(coordination [N, K], [spread, polarity, quadrupole] [N, 3])."""
        x = geometry.scaled_distances
        envelope = polynomial_cutoff(x, ENVELOPE_EXPONENT)  # [E, 1]
        widths = self.min_width + nn.functional.softplus(self.raw_widths)
        shells = torch.sigmoid((self.radii - geometry.distances) / widths) * envelope  # [E, K]
        weights = nn.functional.softplus(self.raw_weights).T[geometry.species].index_select(0, geometry.neighbour)
        w = shells[:, -1:]
        units = geometry.units
        products = torch.cat([units.square(), units * units.roll(-1, dims=1)], dim=1)  # xx yy zz xy yz zx
        sums = neighbour_sum(
            torch.cat([weights * shells, w * torch.cat([x, x * x, units, products], 1), w], 1), geometry
        )
        coordination, x1, x2, dipole, diagonal, off_diagonal, total = sums.split([self.shells, 1, 1, 3, 3, 3, 1], dim=1)
        norm = total + WEIGHT_OFFSET
        spread = x2 / norm - (x1 / norm).square()
        polarity = (dipole / norm).square().sum(1, keepdim=True)
        traceless = (diagonal - total / 3.0) / norm
        quadrupole = (traceless.square() + 2.0 * (off_diagonal / norm).square()).sum(1, keepdim=True)
        return coordination, torch.cat([spread, polarity, quadrupole], dim=1)

    def _raw(self, coordination: Tensor, shape: Tensor, species: Tensor) -> Tensor:
        mean = self.mean_coordination[species]
        return torch.cat([(coordination - mean) / (coordination + mean), shape], dim=1)

    def _standardise(self, raw: Tensor, species: Tensor) -> Tensor:
        return torch.asinh((raw - self.mean[species]) / self.spread[species])

    def observe(self, geometry: EdgeGeometry) -> None:
        """Collect one training batch."""
        self._observed.append((*self._moments(geometry), geometry.species))

    def finish_observation(self) -> None:
        """Set the training-set means and spreads, per species; a species never seen keeps mean 0 and spread 1."""
        coordination, shape, species = (torch.cat(column) for column in zip(*self._observed, strict=True))
        self._observed = []
        for s in species.unique().tolist():
            here = species == s
            self.mean_coordination[s] = coordination[here].double().mean(0).clamp(min=1e-3)
            raw = self._raw(coordination[here], shape[here], species[here]).double()
            self.mean[s] = raw.mean(0)
            self.spread[s] = raw.std(0, correction=0).clamp(min=MIN_SPREAD)
