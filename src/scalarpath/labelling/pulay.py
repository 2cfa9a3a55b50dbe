"""The Pulay error of the stress at a fixed plane-wave cutoff: measured on an equation of state, removed from labels.

Cells of different strain are computed with one cutoff energy, but the analytic stress is the derivative at a fixed
number of plane waves. The difference is isotropic and, as the missing part of the energy belongs to the atoms,
proportional to the number of atoms over the volume: sigma_true = sigma - c_atom * N / V
(Francis and Payne, J. Phys.: Condens. Matter 2, 4395, 1990).
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from scipy.interpolate import CubicSpline

from scalarpath.core.errors import DataError


def correct_stress(stress: np.ndarray, atoms: Atoms, constant_per_atom: float) -> np.ndarray:
    """Stress without its Pulay error.

    ``stress``: Voigt order ``[6]``, eV/Å^3, tension positive; ``atoms``: the structure that carries it;
    ``constant_per_atom``: eV per atom. Returns Voigt order ``[6]``, eV/Å^3.
    """
    corrected = np.array(stress, dtype=float)
    corrected[:3] -= constant_per_atom * len(atoms) / atoms.get_volume()
    return corrected


def fit_pulay_constant(curve: Sequence[Atoms], scales: tuple[float, float] = (0.89, 1.05)) -> float:
    """Pulay constant that the stress labels of an equation of state still contain.

    Integrates the labelled pressure along the curve: what it differs by from the labelled energies grows as
    c_atom * N * ln V, and c_atom is fitted to that by least squares. Corrected labels give zero within the noise.

    ``curve``: isotropically scaled cells with energy and stress, and ``linear_scale`` in ``info``; ``scales``: linear
    scales between which the fit is made; the strongly compressed end is left out. Returns eV per atom. Raises
    DataError when a frame lacks ``linear_scale`` or a label, or fewer than four frames lie in the range.
    """
    for index, atoms in enumerate(curve):
        labels = set() if atoms.calc is None else set(atoms.calc.results)
        if "linear_scale" not in atoms.info or not labels >= {"energy", "stress"}:
            raise DataError(f"frame {index} of the curve needs linear_scale, energy and stress for a Pulay fit.")
    used = sorted(
        (atoms for atoms in curve if scales[0] < atoms.info["linear_scale"] < scales[1]),
        key=lambda atoms: atoms.get_volume(),
    )
    if len(used) < 4:
        raise DataError(
            f"a Pulay fit needs at least 4 cells with linear_scale in {scales}, but the curve has {len(used)}."
        )
    volumes = np.array([atoms.get_volume() for atoms in used])
    energies = np.array([atoms.get_potential_energy() for atoms in used])
    tension = CubicSpline(volumes, [atoms.get_stress()[:3].mean() for atoms in used])
    middle = len(used) // 2
    excess = np.array([tension.integrate(volumes[middle], volume) for volume in volumes])
    excess -= energies - energies[middle]
    logarithm = np.log(volumes / volumes[middle])
    return float(logarithm @ excess / (logarithm @ logarithm)) / len(used[0])
