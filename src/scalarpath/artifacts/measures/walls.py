"""Scans along one distance: a free pair, a pair in a crystal, a bond of a molecule, a compressed crystal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from scipy.interpolate import CubicHermiteSpline

from scalarpath.artifacts.materials import Bond, Material, pair_name
from scalarpath.artifacts.pair_search import nearest_distances
from scalarpath.artifacts.stored_values import WallCurve
from scalarpath.core.errors import ArtifactError

_DENSE_POINTS = 4000
_SAME_DIGITS = 4  # of distances in Å that symmetry makes equal
DIFFERENCE_STEP_A = 1e-3
DIMER_BOX_A = (7.0, 7.0, 9.0)
"""Box of the labelled dimers."""
_MINIMUM_FRACTIONS = np.linspace(1.4, 0.6, 41)
EQUILIBRIUM_FRACTIONS = (0.9, 1.1)
"""Where the minimum of a curve is looked for, in usual distances: outside any hole."""


@dataclass(frozen=True)
class PairScan:
    """Two rigid groups of atoms moved along the line that joins their first atoms, by the same amount each.

    pair: name of the pair of elements; usual_distance: distance (Å) of the pair where it neither repels nor attracts,
    roughly; atoms: the structure that is scanned; first, second: indices of the groups.
    """

    name: str
    pair: str
    usual_distance: float
    atoms: Atoms
    first: tuple[int, ...]
    second: tuple[int, ...]

    def energy(self, calculator: Calculator, distance_A: float) -> float:
        """Energy of the whole structure."""
        return float(calculator.get_potential_energy(self.at(distance_A)))

    def force(self, calculator: Calculator, distance_A: float) -> float:
        """-dE/dr from the calculator's forces."""
        return self.along_line(np.asarray(calculator.get_forces(self.at(distance_A))))

    def along_line(self, forces: np.ndarray) -> float:
        """Half the difference of the groups' forces along the line: -dE/dr, as each group does half of the way."""
        difference = forces[list(self.second)].sum(axis=0) - forces[list(self.first)].sum(axis=0)
        return float(difference @ self._line() / np.linalg.norm(self._line())) / 2

    def at(self, distance_A: float) -> Atoms:
        """The structure with the pair at a distance."""
        atoms = self.atoms.copy()
        line = self._line()
        length = np.linalg.norm(line)
        move = (distance_A - length) / (2 * length) * line
        atoms.positions[list(self.first)] -= move
        atoms.positions[list(self.second)] += move
        return atoms

    def _line(self) -> np.ndarray:
        return np.asarray(self.atoms.get_distance(self.first[0], self.second[0], mic=True, vector=True))


@dataclass(frozen=True)
class CompressedCrystal:
    """A crystal scaled as a whole; the distance is that of nearest neighbours, energies are per atom."""

    material: Material
    name: str = "crystal"

    @property
    def pair(self) -> str:
        """Name of the pair of nearest neighbours."""
        return _nearest_pair_name(self.material)

    @property
    def usual_distance(self) -> float:
        """Nearest-neighbour distance at the lattice constant of the material, Å."""
        return self.material.nearest_neighbour

    def energy(self, calculator: Calculator, distance_A: float) -> float:
        """Energy per atom."""
        atoms = self.at(distance_A)
        return float(calculator.get_potential_energy(atoms)) / len(atoms)

    def force(self, calculator: Calculator, distance_A: float) -> float:
        """-dE/dr per atom from the trace of the stress: dV/dr = 3 V / r; NaN for a calculator without stress."""
        if "stress" not in calculator.implemented_properties:
            return float("nan")
        atoms = self.at(distance_A)
        return crystal_force(np.asarray(calculator.get_stress(atoms)), atoms, distance_A)

    def at(self, distance_A: float) -> Atoms:
        """The conventional cell whose nearest neighbours are at a distance."""
        scale = distance_A / self.material.nearest_neighbour
        return self.material.conventional_cell(self.material.lattice_constant_A * scale)


def crystal_force(stress_eV_A3: np.ndarray, atoms: Atoms, distance_A: float) -> float:
    """Generalised force per atom (eV/Å) on the nearest-neighbour distance when all is scaled; stress in Voigt order."""
    return float(-stress_eV_A3[:3].sum() * atoms.get_volume() / (distance_A * len(atoms)))


Scan = PairScan | CompressedCrystal
"""A structure as a function of one distance, with its energy and the force along it."""


def wall_scans(material: Material, bulk_repeat: int) -> list[Scan]:
    """All scans: free pairs, the compressed crystal and a pair of neighbours in it; of a molecule its bonds.

    bulk_repeat: conventional cells along each axis that hold the pair in the crystal.
    """
    scans: list[Scan] = [free_pair(*symbols, length) for symbols, length in material.dimers.items()]
    if material.is_crystal:
        scans += [CompressedCrystal(material), pair_in_crystal(material, bulk_repeat)]
    return scans + [bond_scan(material, symbols, bond) for symbols, bond in material.bonds.items()]


def free_pair(
    first: str, second: str, usual_distance: float, box_A: tuple[float, float, float] = DIMER_BOX_A
) -> PairScan:
    """Two atoms along z in an otherwise empty periodic box, which is to hold the cutoff beside the longest distance."""
    atoms = Atoms([first, second], [[0, 0, 0], [0, 0, usual_distance]], cell=box_A, pbc=True)
    atoms.center()
    pair = pair_name(first, second)
    return PairScan(f"dimer_{pair}", pair, usual_distance, atoms, (0,), (1,))


def minimum_distance(calculator: Calculator, first: str, second: str, near: float) -> float:
    """Distance (Å) of the outermost energy minimum of a free pair from 1.4 to 0.6 times ``near``; else ``near``."""
    scan, inwards = free_pair(first, second, near), near * _MINIMUM_FRACTIONS
    energies = np.array([scan.energy(calculator, distance) for distance in inwards])
    lower = (energies[1:-1] < energies[:-2]) & (energies[1:-1] <= energies[2:])
    return float(inwards[1:-1][np.argmax(lower)]) if lower.any() else near


def pair_in_crystal(material: Material, repeat: int) -> PairScan:
    """Two nearest neighbours in a perfect crystal whose other atoms stay where they are.

    Raises ArtifactError for fewer than two cells along an axis: the pair would meet its own images.
    """
    if repeat < 2:
        raise ArtifactError(f"bulk_repeat = {repeat} lets the pair meet its own images; use 2 or more.")
    atoms = material.repeated(repeat)
    first, second, distance = _closest_pair(atoms)
    name = pair_name(atoms[first].symbol, atoms[second].symbol)
    return PairScan("pair_in_crystal", name, distance, atoms, (first,), (second,))


def bond_scan(material: Material, symbols: tuple[str, str], bond: Bond) -> PairScan:
    """A bond of a molecule, whose two parts are rigid."""
    pair = pair_name(*symbols)
    return PairScan(f"bond_{pair}", pair, bond.length_A, material.molecule(), bond.first, bond.second)


def wall_curve(scan: Scan, calculator: Calculator, distances_A: np.ndarray) -> WallCurve:
    """Energy and force of a scan at increasing distances."""
    # force and energy of one structure together: a calculator that has computed the one knows the other
    points = [(scan.force(calculator, distance), scan.energy(calculator, distance)) for distance in distances_A]
    return WallCurve(
        distance_A=[float(distance) for distance in distances_A],
        energy_eV=[energy for _, energy in points],
        force_eV_A=[force for force, _ in points],
    )


def energy_slope(energy: Callable[[float], float], at: float) -> float:
    """dE/dx (eV/Å) of ``energy`` (eV as a function of Å) by the fourth-order central difference.

    Its steps are ``DIFFERENCE_STEP_A``.
    """
    step = DIFFERENCE_STEP_A
    near = energy(at + step) - energy(at - step)
    far = energy(at + 2 * step) - energy(at - 2 * step)
    return (8 * near - far) / (12 * step)


def wall_distances(curve: WallCurve, usual_distance: float, levels_eV: Sequence[float]) -> dict[str, float]:
    """Distance (Å), by ``at_1eV`` and so on, where a curve first rises by an energy above its minimum, going inwards.

    NaN where it does not. The minimum is that within a tenth of the usual distance, so that a hole further in is not
    taken for it. Between its points the curve is the cubic that has their energies and forces; without forces, straight
    lines join the energies.
    """
    distance, energy = np.asarray(curve.distance_A), np.asarray(curve.energy_eV)
    inwards = np.linspace(min(distance[-1], EQUILIBRIUM_FRACTIONS[1] * usual_distance), distance[0], _DENSE_POINTS)
    if np.isfinite(curve.force_eV_A).all():
        height = CubicHermiteSpline(distance, energy, -np.asarray(curve.force_eV_A))(inwards)
    else:
        height = np.interp(inwards, distance, energy)
    near = np.flatnonzero(inwards >= EQUILIBRIUM_FRACTIONS[0] * usual_distance)
    lowest = int(near[np.argmin(height[near])])
    height, inwards = height[lowest:] - height[lowest], inwards[lowest:]
    found = {}
    for level in levels_eV:
        above = np.flatnonzero(height >= level)
        crossing = float("nan")
        if len(above):
            pair = slice(above[0] - 1, above[0] + 1)
            crossing = float(np.interp(level, height[pair], inwards[pair]))
        found[f"at_{level:g}eV"] = crossing
    return found


def _nearest_pair_name(material: Material) -> str:
    atoms = material.repeated(2)
    first, second, _ = _closest_pair(atoms)
    return pair_name(atoms[first].symbol, atoms[second].symbol)


def _closest_pair(atoms: Atoms) -> tuple[int, int, float]:
    """Two atoms and their distance (Å), the shortest that there is; of several such pairs one of the first atom."""
    first = int(np.argmin(nearest_distances(atoms).round(_SAME_DIGITS)))
    distances = atoms.get_distances(first, range(len(atoms)), mic=True)
    distances[first] = np.inf
    second = int(np.argmin(distances))
    return first, second, float(distances[second])
