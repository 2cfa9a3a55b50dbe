"""Coulomb energy of fixed, smeared charges: the part of an ionic crystal's energy that reaches beyond any cutoff."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from ase.units import Bohr, Hartree
from torch import Tensor, nn

from scalarpath.core.periodicity import require_periodicity
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.reciprocal_sum import kernel_reciprocal_sum

if TYPE_CHECKING:
    from torch_geometric.data import Data

COULOMB = Hartree * Bohr  # e^2 / (4 pi eps0), eV Å
WIDTH = 1.25  # Å, of a charge. Beyond the usual cutoffs nothing is left of it: erfc(5 / (2^1/2 1.25)) / 5 = 1e-5
LAST = 6.0 / WIDTH  # 1/Å, where the sum over the reciprocal lattice ends: exp(-18)


class CoulombField(NamedTuple):
    """What charges do: node_energy [N] (eV), forces [N, 3] (eV/Å), stress [G, 3, 3] (eV/Å^3, zero without a cell)."""

    node_energy: Tensor
    forces: Tensor
    stress: Tensor


class FixedCharges(nn.Module):
    """Gaussian charges, one number for every element, that interact by q_i q_j erf(r / (2^1/2 s)) / r, s = 1.25 Å.

    Periodic structures: Ewald's sum over the reciprocal lattice (Ann. Phys. 369, 253), without the term k = 0, which
    neutralises a charged cell. Others: all pairs. A charge does not act on itself. charges: [S], in units of e.
    """

    charges: Tensor

    def __init__(self, charges: Tensor):
        super().__init__()
        self.register_buffer("charges", charges.to(torch.float64), persistent=False)

    @torch.no_grad()
    def forward(self, graph: Data, species: Tensor) -> CoulombField:
        """Field of a batch with species indices [N]; raises DataError for a structure that is periodic in part."""
        charges = self.charges.index_select(0, species)
        ends = graph.ptr.tolist()
        fields = []
        for g, periodic in enumerate(graph.pbc.tolist()):
            require_periodicity(periodic)
            atoms = slice(ends[g], ends[g + 1])
            if all(periodic):
                fields.append(_periodic(graph.pos[atoms].double(), graph.cell[g].double(), charges[atoms]))
            else:
                fields.append(_isolated(graph.pos[atoms].double(), charges[atoms]))
        energies, forces, stresses = zip(*fields, strict=True)
        return CoulombField(torch.cat(energies), torch.cat(forces), torch.stack(stresses))


def _periodic(pos: Tensor, cell: Tensor, q: Tensor) -> CoulombField:
    """E = 1/2 sum_k w_k |S_k|^2, S_k = sum_i q_i exp(i k r_i), w_k = 4 pi exp(-s^2 k^2 / 2) / (V k^2), less itself."""
    volume = float(torch.linalg.det(cell).abs())
    reciprocal = 2.0 * math.pi * torch.linalg.inv(cell).T
    most = (LAST * torch.linalg.vector_norm(cell, dim=1) / (2.0 * math.pi)).floor().int().tolist()
    factor = 2.0 * COULOMB * 4.0 * math.pi / volume  # twice: of k and -k one is summed
    potential, field, stress = _reciprocal_sum(pos, q, reciprocal, most, factor, WIDTH, LAST)
    return CoulombField(0.5 * q * (potential - _self_potential(q)), q[:, None] * field, stress / volume)


@with_cpu_kernel(kernel_reciprocal_sum)
def _reciprocal_sum(
    pos: Tensor, q: Tensor, reciprocal: Tensor, most: list[int], factor: float, width: float, last: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Potential [N] (V), field [N, 3] (V/Å) and V times the stress [3, 3] (eV) of all waves shorter than ``last``."""
    grid = torch.cartesian_prod(*(torch.arange(-n, n + 1, device=pos.device) for n in most))
    grid = grid[len(grid) // 2 + 1 :]  # of k and -k one, and not zero, which is in the middle
    k = grid.to(pos.dtype) @ reciprocal
    k = k[k.square().sum(1) < last**2]
    square = k.square().sum(1)
    weight = factor * torch.exp(-0.5 * width**2 * square) / square
    phase = pos @ k.T
    cosine, sine = torch.cos(phase), torch.sin(phase)
    real, imaginary = q @ cosine, q @ sine
    potential = cosine @ (weight * real) + sine @ (weight * imaginary)
    field = (sine * (weight * real) - cosine * (weight * imaginary)) @ k
    power = 0.5 * weight * (real.square() + imaginary.square())
    along = torch.einsum("k,ka,kb->ab", power * 2.0 * (1.0 / square + 0.5 * width**2), k, k)
    return potential, field, along - power.sum() * torch.eye(3, dtype=pos.dtype, device=pos.device)


def _isolated(pos: Tensor, q: Tensor) -> CoulombField:
    """E = 1/2 sum_ij q_i q_j erf(r_ij / (2^1/2 s)) / r_ij."""
    vectors = pos[None, :] - pos[:, None]
    own = torch.eye(len(q), dtype=torch.bool, device=pos.device)
    r = vectors.square().sum(2).masked_fill(own, 1.0).sqrt()
    smeared = torch.erf(r / (math.sqrt(2.0) * WIDTH))
    products = (COULOMB * q[:, None] * q[None, :]).masked_fill(own, 0.0)
    slope = products * (math.sqrt(2.0 / math.pi) / WIDTH * torch.exp(-0.5 * (r / WIDTH).square()) - smeared / r) / r
    forces = (slope[:, :, None] * vectors / r[:, :, None]).sum(1)
    return CoulombField(0.5 * (products * smeared / r).sum(1), forces, pos.new_zeros(3, 3))


def _self_potential(q: Tensor) -> Tensor:
    """Potential of a smeared charge at its own centre."""
    return COULOMB * q * math.sqrt(2.0 / math.pi) / WIDTH
