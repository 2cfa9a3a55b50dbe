"""Smoothness of the energy along a line: steps, kinks, spurious minima, forces that are not the slope of the energy.

Neighbours enter and leave the cutoff along the line, so that a cutoff that does not close smoothly shows. A smooth
model can still be wrong, and single precision adds noise of its own: measure in double precision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from scipy.signal import find_peaks

from scalarpath.artifacts.materials import Material, material
from scalarpath.artifacts.measures.walls import PairScan, bond_scan, energy_slope, free_pair
from scalarpath.core.errors import ArtifactError

_BOX_A = (16.0, 16.0, 20.0)  # no pair meets its image
NAN = float("nan")
_SUSPECTS = 10
_DIRECTION = np.array([1.0, 0.5**0.5, 3**-0.5]) / (1 + 1 / 2 + 1 / 3) ** 0.5  # neighbours cross the cutoff one by one


@dataclass(frozen=True)
class SmoothnessSettings:
    """What is stretched.

    Attributes:
        material: Name in ``MATERIALS``.
        points: Of each scan.
        pair_range: Free pairs and bonds, from and to, in usual distances.
        highest_pair_distance_A: Where such a scan ends at the latest; beyond the cutoff.
        atom_range_A: How far an atom of the perfect crystal is moved to both sides.
        bulk_repeat: Conventional cells along each axis of that crystal.
        prominence: Depth of a minimum, in ranges of the curve, below which it is noise.
    """

    material: str = "si"
    points: int = 801
    pair_range: tuple[float, float] = (0.85, 4.5)
    highest_pair_distance_A: float = 8.0
    atom_range_A: float = 0.6
    bulk_repeat: int = 2
    prominence: float = 1e-5

    @classmethod
    def smoke(cls, material: str = "si") -> "SmoothnessSettings":
        """Quick: fewer points and a smaller crystal."""
        return cls(material=material, points=121, bulk_repeat=1)


@dataclass(frozen=True)
class LineResult:
    """One scan.

    Attributes:
        name: ``dimer_...``, ``bond_...`` or ``atom_in_crystal``.
        position_A, energy_eV, force_eV_A: The curve; the force is that along the line, positive towards its end.
        energy_jump, force_jump: Largest change of the second difference between neighbouring points, in ranges
            (largest minus smallest value) of the curve. A step of size s gives 2 s / range, at any number of points.
        energy_jump_order, force_jump_order: log2 of its growth when every second point is left out: about 3 for a
            smooth curve, 1 for a kink, 0 for a step or noise; below 3 too where something is narrower than a few
            steps of the grid; NaN if the jump is no more than rounding.
        max_force_energy_mismatch_eV_A: max |F + dE/dx|, dE/dx by central differences with steps of 0.001 Å at the
            points where the differences of the curve itself disagree most with the force.
        minima: Local minima deeper than the noise.
        spurious_minima: All but the one that a bond, or an atom at its site, has.
        curvature_sign_changes: Of the energy: extrema of the force that stand out of the noise.
    """

    name: str
    position_A: list[float]
    energy_eV: list[float]
    force_eV_A: list[float]
    energy_jump: float
    force_jump: float
    energy_jump_order: float
    force_jump_order: float
    max_force_energy_mismatch_eV_A: float
    minima: int
    spurious_minima: int
    curvature_sign_changes: int


@dataclass(frozen=True)
class SmoothnessResult:
    """All scans of a material, and the worst of each measure.

    Attributes:
        material: Its name.
        lines: One result per scan.
        worst_energy_jump, worst_force_jump, max_force_energy_mismatch_eV_A, spurious_minima: Largest (sum) over them.
        notes: What could not be measured, and why.
    """

    material: str
    lines: list[LineResult]
    worst_energy_jump: float
    worst_force_jump: float
    max_force_energy_mismatch_eV_A: float
    spurious_minima: int
    notes: list[str]


@dataclass(frozen=True)
class AtomInCrystal:
    """The first atom of a perfect crystal moved along a line of no symmetry."""

    perfect: Atoms
    name: str = "atom_in_crystal"

    def energy(self, calculator: Calculator, position_A: float) -> float:
        """Energy with the atom at a distance from its site."""
        return float(calculator.get_potential_energy(self._moved(position_A)))

    def force(self, calculator: Calculator, position_A: float) -> float:
        """The atom's force along the line."""
        return float(calculator.get_forces(self._moved(position_A))[0] @ _DIRECTION)

    def _moved(self, position_A: float) -> Atoms:
        atoms = self.perfect.copy()
        atoms.positions[0] += position_A * _DIRECTION
        return atoms


def measure_smoothness(calculator: Calculator, settings: SmoothnessSettings) -> SmoothnessResult:
    """Stretch free pairs or bonds through the cutoff and pull one atom through a crystal.

    Raises:
        ArtifactError: A setting is impossible.
    """
    low, high = settings.pair_range
    if settings.points < 20 or not 0 < low < high or settings.atom_range_A <= 0:
        raise ArtifactError(f"a smoothness scan needs at least 20 points and a range, not {settings}.")
    lines = []
    for scan, start, end in _scans(material(settings.material), settings):
        positions = np.linspace(start, end, settings.points)
        # force and energy of one structure after another: who computes the one has the other too
        points = [(scan.force(calculator, position), scan.energy(calculator, position)) for position in positions]
        forces, energies = np.array(points).T
        energy = partial(scan.energy, calculator)
        lines.append(analyse_line(scan.name, positions, energies, forces, energy, settings.prominence))
    notes = [f"{line.name}: the energy is constant" for line in lines if np.isnan(line.energy_jump)]
    return SmoothnessResult(
        material=settings.material,
        lines=lines,
        worst_energy_jump=_worst([line.energy_jump for line in lines]),
        worst_force_jump=_worst([line.force_jump for line in lines]),
        max_force_energy_mismatch_eV_A=_worst([line.max_force_energy_mismatch_eV_A for line in lines]),
        spurious_minima=sum(line.spurious_minima for line in lines),
        notes=notes,
    )


def _scans(item: Material, settings: SmoothnessSettings) -> list[tuple[PairScan | AtomInCrystal, float, float]]:
    """Scans, each with its first and last position."""
    pairs = [free_pair(*symbols, length, _BOX_A) for symbols, length in item.dimers.items()]
    pairs += [bond_scan(item, symbols, bond) for symbols, bond in item.bonds.items()]
    low, high = settings.pair_range
    scans: list[tuple[PairScan | AtomInCrystal, float, float]] = []
    for pair in pairs:
        end = min(high * pair.usual_distance, settings.highest_pair_distance_A)
        scans.append((pair, low * pair.usual_distance, end))
    if item.is_crystal:
        crystal = AtomInCrystal(item.conventional_cell().repeat(settings.bulk_repeat))
        scans.append((crystal, -settings.atom_range_A, settings.atom_range_A))
    return scans


def analyse_line(
    name: str,
    positions_A: np.ndarray,
    energies_eV: np.ndarray,
    forces_eV_A: np.ndarray,
    energy: Callable[[float], float],
    prominence: float,
) -> LineResult:
    """Smoothness of a curve on an even grid.

    Args:
        name: Of the scan.
        positions_A: Even steps, increasing.
        energies_eV: At the positions.
        forces_eV_A: Along the line, at the positions.
        energy: Energy (eV) at any position.
        prominence: Depth of an extremum below which it is noise, in ranges of the curve.
    """
    energy_jump, force_jump = _jump(energies_eV), _jump(forces_eV_A)
    minima = _peaks(-energies_eV, prominence)
    return LineResult(
        name=name,
        position_A=positions_A.tolist(),
        energy_eV=energies_eV.tolist(),
        force_eV_A=forces_eV_A.tolist(),
        energy_jump=energy_jump,
        force_jump=force_jump,
        energy_jump_order=_order(energy_jump, _jump(energies_eV[::2])),
        force_jump_order=_order(force_jump, _jump(forces_eV_A[::2])),
        max_force_energy_mismatch_eV_A=_mismatch(positions_A, energies_eV, forces_eV_A, energy),
        minima=minima,
        spurious_minima=max(0, minima - 1),
        curvature_sign_changes=_peaks(forces_eV_A, prominence) + _peaks(-forces_eV_A, prominence),
    )


def _jump(values: np.ndarray) -> float:
    scale = np.ptp(values)
    return float(np.abs(np.diff(values, n=3)).max() / scale) if scale > 0 else NAN


def _order(jump: float, coarse_jump: float) -> float:
    return float(np.log2(coarse_jump / jump)) if jump > 1e-13 else NAN


def _worst(values: list[float]) -> float:
    return max((value for value in values if np.isfinite(value)), default=NAN)


def _peaks(values: np.ndarray, prominence: float) -> int:
    peaks: tuple[np.ndarray, dict] = find_peaks(values, prominence=max(prominence * np.ptp(values), 1e-300))
    return len(peaks[0])


def _mismatch(
    positions: np.ndarray, energies: np.ndarray, forces: np.ndarray, energy: Callable[[float], float]
) -> float:
    """Largest |F + dE/dx|; slopes are exact, but taken only where those of the grid, which blur, disagree most."""
    suspects = np.argsort(-np.abs(forces + np.gradient(energies, positions)))[:_SUSPECTS]
    return max(abs(float(forces[at]) + energy_slope(energy, float(positions[at]))) for at in suspects)
