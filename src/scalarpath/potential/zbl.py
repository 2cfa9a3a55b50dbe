"""Ziegler-Biersack-Littmark screened nuclear repulsion, switched off at the sum of two radii."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.neighbour_sum import neighbour_sum
from scalarpath.nn.radial import polynomial_cutoff

COULOMB = 14.3996  # e^2 / (4 pi eps0), eV Å
BOHR = 0.529  # Å; two constants with the digits that upstream MACE uses


class ZBL(nn.Module):
    """E_i = 1/2 sum_j 14.3996 Z_i Z_j / r phi(r / a) u_p(r / (R_i + R_j)), a = 0.4543 0.529 / (Z_i^0.3 + Z_j^0.3) Å.

    R are the covalent radii and ``amplitude`` is 1 (eV), except in imported models: upstream MACE multiplies the
    repulsion by the energy scale of the network, and nequip switches it off at the cutoff of the model.
    """

    numbers: Tensor
    radii: Tensor
    coefficients: Tensor
    exponents: Tensor
    screening_exponent: Tensor
    screening_prefactor: Tensor
    cutoff_exponent: Tensor
    amplitude: Tensor

    def __init__(self, atomic_numbers: Sequence[int], cutoff_exponent: int = 6):
        super().__init__()
        numbers = list(atomic_numbers)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.float64), persistent=False)
        self.register_buffer("radii", torch.tensor(covalent_radii[numbers], dtype=torch.float64))
        self.register_buffer("coefficients", torch.tensor([0.1818, 0.5099, 0.2802, 0.02817], dtype=torch.float64))
        self.register_buffer("exponents", torch.tensor([3.2, 0.9423, 0.4028, 0.2016], dtype=torch.float64))
        self.register_buffer("screening_exponent", torch.tensor(0.300, dtype=torch.float64))
        self.register_buffer("screening_prefactor", torch.tensor(0.4543, dtype=torch.float64))
        self.register_buffer("cutoff_exponent", torch.tensor(cutoff_exponent))
        self.register_buffer("amplitude", torch.tensor(1.0, dtype=torch.float64))

    def forward(self, geometry: EdgeGeometry) -> Tensor:
        """Atomic energies [N], eV."""
        r = geometry.distances
        species_i, species_j = geometry.centre_species, geometry.neighbour_species
        z_i, z_j = self.numbers[species_i][:, None], self.numbers[species_j][:, None]
        exponent = self.screening_exponent
        length = self.screening_prefactor * BOHR / (z_i.pow(exponent) + z_j.pow(exponent))
        phi = (self.coefficients * torch.exp(-self.exponents * (r / length))).sum(1, keepdim=True)
        range_ = (self.radii[species_i] + self.radii[species_j])[:, None]
        pair = 0.5 * COULOMB * z_i * z_j / r * phi * polynomial_cutoff(r / range_, self.cutoff_exponent)
        return self.amplitude * neighbour_sum(pair, geometry).squeeze(1)
