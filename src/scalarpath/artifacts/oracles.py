"""Exact analytic potentials: short-ranged, with continuous second derivatives, cheap in long dynamics.

Labels that an oracle made have a reference for everything: phonons, energy conservation, the structure of the liquid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.special import erfc

from scalarpath.artifacts.pair_search import Pairs, pairs_within
from scalarpath.core.errors import ArtifactError

COULOMB = units.Hartree * units.Bohr  # e^2 / (4 pi epsilon_0), eV Å


class Oracle(Calculator):
    """A potential given by the gradient of its energy in the vectors between neighbours.

    Gives energy, per-atom energies, forces and, for structures periodic in all directions, stress. Raises
    ArtifactError for an element it does not know.
    """

    implemented_properties = [  # noqa: RUF012 - as ASE declares it
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]
    elements: ClassVar[tuple[str, ...]]
    material: ClassVar[str]  # whose labels it made
    cutoff: float  # Å
    both_directions: ClassVar[bool] = False  # whether every pair is wanted from both of its atoms

    def pair_gradients(self, pairs: Pairs, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Atomic energies [atoms] and derivatives of the energy in the pair vectors [pairs, 3].

        types: [atoms] index into ``elements``.
        """
        raise NotImplementedError

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results``."""
        super().calculate(atoms, properties, system_changes)
        structure = cast(Atoms, self.atoms)
        symbols = np.array(structure.get_chemical_symbols())
        if unknown := set(symbols) - set(self.elements):
            raise ArtifactError(
                f"{type(self).__name__} knows {' and '.join(self.elements)}, not {', '.join(sorted(unknown))}; "
                "use the oracle of this material."
            )
        pairs = pairs_within(structure, self.cutoff, both_directions=self.both_directions)
        types = sum(k * (symbols == element) for k, element in enumerate(self.elements))
        energies, gradients = self.pair_gradients(pairs, np.asarray(types))
        n = len(structure)
        pulls = [np.bincount(pairs.i, g, n) - np.bincount(pairs.j, g, n) for g in gradients.T]
        energy = float(energies.sum())
        self.results = {"energy": energy, "free_energy": energy, "energies": energies}
        self.results["forces"] = np.stack(pulls, axis=1)
        if structure.pbc.all():
            virial = pairs.vector.T @ gradients / structure.get_volume()
            self.results["stress"] = full_3x3_to_voigt_6_stress(0.5 * (virial + virial.T))


def switch(r: np.ndarray, start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """1 before ``start``, 0 beyond ``end``, between them a quintic with two continuous derivatives; and its slope."""
    u = np.clip((r - start) / (end - start), 0.0, 1.0)
    return 1 - u**3 * (10 - 15 * u + 6 * u**2), -30 * u**2 * (1 - u) ** 2 / (end - start)


class StillingerWeberSilicon(Oracle):
    """F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985), eq. 2.3-2.6; epsilon 50 kcal/mol, sigma 2.0951 Å.

    All derivatives vanish at the cutoff of a sigma = 3.77 Å. The sum over angles of an atom is a polynomial of moments
    of its neighbour directions n with weights g:

        sum_jk g_j g_k (n_j . n_k + 1/3)^2 = T : T + 2/3 V . V + 1/9 G^2,  G = sum g,  V = sum g n,  T = sum g n n

    from which the terms j = k, (4/3)^2 sum g^2, are taken, and half of the rest is the sum over angles.
    """

    elements, material = ("Si",), "si"
    both_directions = True
    epsilon, sigma, a, lam, gamma = 2.1683, 2.0951, 1.80, 21.0, 1.20
    A, B = 7.049556277, 0.6022245584
    cutoff = a * sigma

    def pair_gradients(self, pairs: Pairs, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``Oracle``."""
        i, n_atoms = pairs.i, len(types)
        r = np.minimum(pairs.distance, self.cutoff - 1e-9)  # where everything is zero already, 1/0 is avoided
        n = pairs.vector / r[:, None]
        x = self.sigma / (r - self.cutoff)
        slope = -x * x / self.sigma  # dx/dr
        tail = np.exp(x)
        fourth = self.B * (self.sigma / r) ** 4
        pair = 0.5 * self.epsilon * self.A * (fourth - 1) * tail
        pair_slope = 0.5 * self.epsilon * self.A * tail * (-4 * fourth / r + (fourth - 1) * slope)

        g = np.exp(self.gamma * x)
        g_slope = self.gamma * slope * g
        nn = n[:, :, None] * n[:, None, :]
        G = np.bincount(i, g, n_atoms)
        V = np.stack([np.bincount(i, g * n[:, p], n_atoms) for p in range(3)], axis=1)
        T = np.stack([np.bincount(i, g * m, n_atoms) for m in nn.reshape(-1, 9).T], axis=1).reshape(-1, 3, 3)
        same = np.bincount(i, g * g, n_atoms)
        half = 0.5 * self.lam * self.epsilon
        angles = half * ((T * T).sum((1, 2)) + 2 / 3 * (V * V).sum(1) + G * G / 9 - 16 / 9 * same)

        Tn = np.einsum("epq,eq->ep", T[i], n)
        nTn, nV = (n * Tn).sum(1), (n * V[i]).sum(1)
        along = pair_slope + half * g_slope * (2 * nTn + 4 / 3 * nV + 2 / 9 * G[i] - 32 / 9 * g)
        across = 4 * Tn + 4 / 3 * V[i] - (4 * nTn + 4 / 3 * nV)[:, None] * n
        gradients = along[:, None] * n + (half * g / r)[:, None] * across
        return np.bincount(i, pair, n_atoms) + angles, gradients


class TightBindingSilver(Oracle):
    """F. Cleri and V. Rosato, Phys. Rev. B 48, 22 (1993): an embedded-atom form, the second moment of tight binding.

        E_i = sum_j A exp(-p (r/r0 - 1)) - sqrt(sum_j h^2),  h = xi exp(-q (r/r0 - 1))

    Instead of ending after the fifth shell, the repulsion and the hopping integral h are switched off from 5.5 to 6.5
    Å: switching h, not h^2, keeps the root smooth where a lone neighbour leaves.
    """

    elements, material = ("Ag",), "ag"
    A, xi, p, q = 0.1028, 1.178, 10.928, 3.139
    r0 = 4.085 / np.sqrt(2)  # nearest neighbours of the crystal they fitted
    switch_start, cutoff = 5.5, 6.5

    def pair_gradients(self, pairs: Pairs, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``Oracle``."""
        i, j, r, n_atoms = pairs.i, pairs.j, pairs.distance, len(types)
        s, s_slope = switch(r, self.switch_start, self.cutoff)
        repulsion = self.A * np.exp(-self.p * (r / self.r0 - 1))
        hopping = self.xi * np.exp(-self.q * (r / self.r0 - 1))
        repulsion_slope = repulsion * (s_slope - self.p / self.r0 * s)
        hopping_slope = hopping * (s_slope - self.q / self.r0 * s)
        repulsion, hopping = repulsion * s, hopping * s
        both = np.concatenate([i, j])
        width = np.sqrt(np.bincount(both, np.tile(hopping**2, 2), n_atoms))
        inverse = np.divide(1.0, width, out=np.zeros_like(width), where=width > 0)
        slope = 2 * repulsion_slope - (inverse[i] + inverse[j]) * hopping * hopping_slope
        energies = np.bincount(both, np.tile(repulsion, 2), n_atoms) - width
        return energies, (slope / r)[:, None] * pairs.vector


class BornMayerLithiumFluoride(Oracle):
    """Rigid ions: Born-Mayer-Huggins terms of F. G. Fumi and M. P. Tosi, J. Phys. Chem. Solids 25, 31 (1964), with the
    dispersion of J. E. Mayer, J. Chem. Phys. 1, 270 (1933), damped as by K. T. Tang and J. P. Toennies, J. Chem. Phys.
    80, 3726 (1984), eq. 6, and with damped shifted Coulomb forces (C. J. Fennell and J. D. Gezelter, J. Chem. Phys.
    124, 234104 (2006)), which make the potential short-ranged and exact as such.

        E_ij = [A_ij exp((s_i + s_j - r) / rho) - f_6 C_ij / r^6 - f_8 D_ij / r^8 + q_i q_j w(r)] S(r)
        f_n(r) = 1 - exp(-r / rho) sum_{k <= n} (r / rho)^k / k!
        w(r) = erfc(a r)/r - w_c - w'_c (r - r_c)

    w_c and w'_c are value and slope of erfc(a r)/r at r_c = 6 Å; S switches off from 5 to 6 Å. Without f_n, which the
    parameters do not know, dispersion and Coulomb attraction beat the repulsion of Li and F 2 eV up the wall.

    Every ion has its self energy -q^2 (w_c / 2 + a / sqrt(pi)), so that energies compare with those of an Ewald sum:
    -10.64 eV for LiF at its lattice constant of 4.044 Å, where the full sum has -10.76 eV and 4.038 Å.
    """

    elements, material = ("Li", "F"), "lif"
    # of the pairs Li-Li, Li-F, F-F
    charges = np.array([1.0, -1.0, 1.0])  # q_i q_j
    pauling = np.array([2.0, 1.375, 0.75])  # 1 + z_i/n_i + z_j/n_j with n = 2 (Li), 8 (F) outer electrons
    sizes = np.array([2 * 0.816, 0.816 + 1.179, 2 * 1.179])  # s_i + s_j, Å
    C = np.array([0.073, 0.8, 14.5]) * 1e-19 / units._e  # 1e-79 J m^6 -> eV Å^6
    D = np.array([0.03, 0.6, 17.0]) * 1e-19 / units._e  # 1e-99 J m^8 -> eV Å^8
    rho, b = 0.299, 0.338e-19 / units._e  # Å, eV; A_ij = b pauling
    damping = 0.3  # 1/Å
    switch_start, cutoff = 5.0, 6.0

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._value, self._slope = self._damped_coulomb(np.array(self.cutoff))
        self._self_energy = -COULOMB * float(self._value / 2 + self.damping / np.sqrt(np.pi))
        self._prefactor = self.b * self.pauling * np.exp(self.sizes / self.rho)
        # f_n'(r) / r^n = exp(-r / rho) / (n! rho^(n + 1))
        self._damping6 = self.C / (math.factorial(6) * self.rho**7)
        self._damping8 = self.D / (math.factorial(8) * self.rho**9)

    def _damped_coulomb(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """erfc(a r)/r and its derivative."""
        value = erfc(self.damping * r) / r
        return value, -value / r - 2 * self.damping / np.sqrt(np.pi) * np.exp(-((self.damping * r) ** 2)) / r

    def pair_gradients(self, pairs: Pairs, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``Oracle``."""
        i, j, r, n_atoms = pairs.i, pairs.j, pairs.distance, len(types)
        kind = types[i] + types[j]
        x, inverse = r / self.rho, 1 / r
        decay, square = np.exp(-x), inverse * inverse
        repulsion = self._prefactor[kind] * decay
        sum6 = 1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6)))))  # sum of x^k / k!, k <= 6
        power7 = x**7 / math.factorial(7)
        sixth = self.C[kind] * (1 - decay * sum6) * square * square * square
        eighth = self.D[kind] * (1 - decay * (sum6 + power7 * (1 + x / 8))) * square * square * square * square
        damping_slope = decay * (self._damping6[kind] + self._damping8[kind])
        coulomb, coulomb_slope = self._damped_coulomb(r)
        charge = COULOMB * self.charges[kind]
        value = repulsion - sixth - eighth + charge * (coulomb - self._value - self._slope * (r - self.cutoff))
        slope = -repulsion / self.rho + (6 * sixth + 8 * eighth) * inverse - damping_slope
        slope += charge * (coulomb_slope - self._slope)
        s, s_slope = switch(r, self.switch_start, self.cutoff)
        slope = slope * s + value * s_slope
        energies = 0.5 * np.bincount(np.concatenate([i, j]), np.tile(value * s, 2), n_atoms) + self._self_energy
        return energies, (slope * inverse)[:, None] * pairs.vector


ORACLES: dict[str, Callable[[], Oracle]] = {
    "si_sw": StillingerWeberSilicon,
    "ag_eam": TightBindingSilver,
    "lif_bm": BornMayerLithiumFluoride,
}


def oracle(name: str) -> Callable[[], Oracle]:
    """Factory of the calculator of an exact potential: si_sw, ag_eam or lif_bm.

    Raises ArtifactError for another name.
    """
    if name not in ORACLES:
        raise ArtifactError(f"oracle '{name}' is unknown; use one of: {', '.join(ORACLES)}.")
    return ORACLES[name]
