"""MACE's product basis: symmetric contractions of the atomic basis with itself (arXiv:2206.07697, eq. 10-11)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalarpath.nn.contraction.channels_first import channels_first, per_degree
from scalarpath.nn.contraction.couplings import symmetric_basis
from scalarpath.nn.contraction.cubic_form import cubic_form
from scalarpath.nn.contraction.monomials import monomials
from scalarpath.nn.cpu.choice import with_cpu_kernel
from scalarpath.nn.cpu.symmetric_contraction import kernel_contraction
from scalarpath.nn.linear import SpeciesGroups


class SymmetricContraction(nn.Module):
    """B^{L}_{i,c} = sum_nu sum_k w^{nu,L}_{z_i,k,c} U^{nu,L}_k A_{i,c}^{(x) nu} for L = 0..l_out, nu = 1..correlation.

    Weights [S, K, C] per (L, nu), normal with deviation 1/K, as upstream. The weighted couplings of all L and nu form
    one matrix per channel that acts on the monomials of A (the products of pairs a <= b, the components, one):
    B_M = sum_a A_a Q_Ma with Q = T (A_b A_d, A_b, 1), a batched matrix product over channels. What is stored per atom
    and channel is then 16 values of Q per M at l_in = 3, and not the 136 products per M of Horner's rule. On a CPU a
    kernel sums the few terms that are not zero.
    """

    couplings: Tensor

    def __init__(
        self, l_in: int, l_out: int, correlation: int, n_species: int, channels: int, generator: torch.Generator
    ):
        super().__init__()
        self.l_in, self.l_out, self.correlation = l_in, l_out, correlation
        self.size = (l_in + 1) ** 2
        self.weights = nn.ParameterDict()
        for degree in range(l_out + 1):
            for nu in range(correlation, 0, -1):
                basis, mixing = symmetric_basis(l_in, degree, nu)
                k = mixing.shape[1]
                weight = torch.randn(n_species, k, channels, generator=generator, dtype=torch.float64) / k
                self.weights[f"{degree}_{nu}"] = nn.Parameter(weight)
                self.register_buffer(f"basis_{degree}_{nu}", self._pack(basis, nu), persistent=False)
                self.register_buffer(f"mixing_{degree}_{nu}", mixing, persistent=False)
        self.monomials = monomials(l_in, l_out, correlation)
        self.register_buffer("couplings", self.monomials.couplings, persistent=False)

    def weights_in_order(self) -> Tensor:
        """Weights of all L and nu behind each other: [S, all K, C]."""
        orders = range(self.correlation, 0, -1)
        return torch.cat([self.weights[f"{degree}_{nu}"] for degree in range(self.l_out + 1) for nu in orders], dim=1)

    def _pack(self, basis: Tensor, nu: int) -> Tensor:
        """[M, n (nu times), r] -> [r, M left, right]: one factor left (of four: a pair), the others right."""
        first, second = torch.triu_indices(self.size, self.size)
        twice = torch.where(first == second, 1.0, 2.0).to(basis.dtype)
        if nu > 2:
            basis = basis[..., first, second, :] * twice[:, None]  # [M, n (nu - 2 times), pairs, r]
        if nu == 4:
            basis = basis[:, first, second] * twice[:, None, None]  # [M, pairs, pairs, r]
        *entries, r = basis.shape
        right = entries[-1] if nu > 1 else 1
        return basis.movedim(-1, 0).reshape(r, math.prod(entries) // right, right)

    def _matrix(self, nu: int, species: int) -> Tensor:
        """Weighted couplings of one species, all L below each other: [C, M left, right]."""
        rows = []
        for degree in range(self.l_out + 1):
            basis, mixing = getattr(self, f"basis_{degree}_{nu}"), getattr(self, f"mixing_{degree}_{nu}")
            weight = mixing @ self.weights[f"{degree}_{nu}"][species]  # [r, C]
            rows.append((weight.T @ basis.flatten(1)).view(-1, *basis.shape[1:]))
        return torch.cat(rows, dim=1)

    @with_cpu_kernel(kernel_contraction)
    def forward(self, basis: Sequence[Tensor], groups: SpeciesGroups) -> list[Tensor]:
        """basis A per l [N, 2l + 1, C] -> per L [N, 2L + 1, C]."""
        sizes = [2 * degree + 1 for degree in range(self.l_out + 1)]
        by_species = zip(*(groups.split(a) for a in basis), strict=True)
        blocks = [per_degree(self._contract(channels_first(a), z), sizes) for z, a in enumerate(by_species)]
        return [groups.join(parts) for parts in zip(*blocks, strict=True)]

    def _contract(self, a: Tensor, species: int) -> Tensor:
        """A [C, n, N_z] of one species, n = (l_in+1)^2 -> [C, M, N_z]."""
        t1 = self._matrix(1, species)  # [C, M n, 1], the same for all atoms
        if self.correlation == 1:
            return _dot(t1, a)
        t2 = self._matrix(2, species)
        if self.correlation == 2:
            return _dot(torch.baddbmm(t1, t2, a), a)
        out = cubic_form(a, t1, t2, self._matrix(3, species))
        if self.correlation == 4:
            first, second = torch.triu_indices(self.size, self.size, device=a.device)
            pairs = a.index_select(1, first) * a.index_select(1, second)  # [C, pairs, N]
            out = out + _dot(torch.bmm(self._matrix(4, species), pairs), pairs)
        return out


def _dot(q: Tensor, left: Tensor) -> Tensor:
    """sum_l q_Ml left_l for every M: [C, M l, N or 1], [C, l, N] -> [C, M, N]."""
    rows = q.shape[1] // left.shape[1]
    return (q.view(q.shape[0], rows, left.shape[1], q.shape[2]) * left[:, None]).sum(2)
