"""Smoothness of the energy along a line: steps, kinks, spurious minima, forces that are not the slope of the energy.

Neighbours enter and leave the cutoff along the line, so that a cutoff that does not close smoothly shows. A smooth
model can still be wrong, and single precision adds noise of its own: measure in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.measure import Measure, Measurement, Progress
from scalarpath.artifacts.measures.walls import PairScan, bond_scan, energy_slope, free_pair
from scalarpath.artifacts.ranges import Cells
from scalarpath.artifacts.rows import Row, compared
from scalarpath.core.errors import ConfigError
from scalarpath.core.figures import MODEL, panels
from scalarpath.core.settings import Positive, Range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BOX_A = (16.0, 16.0, 20.0)  # no pair meets its image
_SUSPECTS = 10
_DIRECTION = np.array([1.0, 0.5**0.5, 3**-0.5]) / (1 + 1 / 2 + 1 / 3) ** 0.5  # neighbours cross the cutoff one by one


@dataclass(frozen=True)
class SmoothnessSettings:
    """What is stretched.

    points: of each scan; pair_range: free pairs and bonds, from and to, in usual distances; highest_pair_distance_A:
    where such a scan ends at the latest, beyond the cutoff; atom_range_A: how far an atom of the perfect crystal is
    moved to both sides; bulk_repeat: conventional cells along each axis of that crystal; prominence: depth of a
    minimum, in ranges of the curve, below which it is noise.
    """

    points: Annotated[int, Range(at_least=20, at_most=100_000)]
    pair_range: tuple[Positive, Positive]
    highest_pair_distance_A: Annotated[float, Range(at_least=5.0, at_most=10.0)]  # beyond any bond, within the box
    atom_range_A: Annotated[float, Range(above=0.0, at_most=5.0)]
    bulk_repeat: Cells
    prominence: Annotated[float, Range(at_least=0.0, below=1.0)]

    def __post_init__(self) -> None:
        low, high = self.pair_range
        if not low < high:
            raise ConfigError(f"settings.smoothness.pair_range = [{low:g}, {high:g}] does not rise; swap the two.")
        if not 0.1 <= low <= 1.0:
            raise ConfigError(
                f"settings.smoothness.pair_range begins at {low:g} usual distances; begin between 0.1 and 1."
            )


@dataclass(frozen=True)
class LineResult:
    """One scan: ``dimer_...``, ``bond_...``, ``atom_in_crystal`` or ``atom_in_structure``.

    position_A, energy_eV, force_eV_A: the curve, the force is that along the line, positive towards its end;
    energy_jump, force_jump: largest change of the second difference between neighbouring points, in ranges (largest
    minus smallest value) of the curve: a step of size s gives 2 s / range, at any number of points; energy_jump_order,
    force_jump_order: log2 of its growth when every second point is left out: about 3 for a smooth curve, 1 for a kink,
    0 for a step or noise, below 3 too where something is narrower than a few steps of the grid, NaN if the jump is no
    more than rounding; max_force_energy_mismatch_eV_A: max |F + dE/dx|, dE/dx by central differences with steps of
    0.001 Å at the points where the differences of the curve itself disagree most with the force; minima: local minima
    deeper than the noise; spurious_minima: all but the one that a bond, or an atom at its site, has;
    curvature_sign_changes: of the energy: extrema of the force that stand out of the noise.
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
    """All scans of a material; the worst (of the minima: the sum) of each number; what could not be measured."""

    material: str
    lines: list[LineResult]
    worst_energy_jump: float
    worst_force_jump: float
    max_force_energy_mismatch_eV_A: float
    spurious_minima: int
    notes: list[str]


class Smoothness(Measure[SmoothnessSettings]):
    """Free pairs or bonds stretched through the cutoff, and one atom pulled through a crystal."""

    name = "smoothness"
    settings = SmoothnessSettings
    charts = (("smoothness: largest force jump", "worst_force_jump"),)

    def measure(
        self, bench: Bench, settings: SmoothnessSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        progress("smoothness", 0, 0)
        model = measure_smoothness(bench.calculator, bench.material, settings)
        return Measurement({"model": model}, {"material": bench.material.name, **asdict(settings)})

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        result: SmoothnessResult = measurement.results["model"]
        bumpy = ", ".join(line.name for line in result.lines if line.spurious_minima)
        yield compared("spurious_minima", "spurious minima", "", float(result.spurious_minima), 0.0, note=bumpy)
        worst = max(result.lines, key=lambda line: np.nan_to_num(line.force_jump))
        note = f"{worst.name}; order {worst.force_jump_order:.1f} (3 smooth, 1 kink, 0 step)"
        yield Row("worst_force_jump", "force jump, of its range", "", result.worst_force_jump, note=note)
        mismatch = result.max_force_energy_mismatch_eV_A
        yield compared("max_force_energy_mismatch_eV_A", "|F + dE/dx| on lines", "eV/Å", mismatch, 0.0)

    def figure(self, measurement: Measurement) -> Figure:
        """Energy and force along every line."""
        result: SmoothnessResult = measurement.results["model"]
        figure, axes = panels(2, len(result.lines), share_x=True)
        for (energy_axis, force_axis), line in zip(axes.T, result.lines, strict=True):
            energy_axis.plot(line.position_A, np.array(line.energy_eV) - line.energy_eV[-1], color=MODEL)
            force_axis.plot(line.position_A, line.force_eV_A, color=MODEL)
            force_axis.axhline(0.0, color="0.85", lw=0.8, zorder=0)
            energy_axis.set(title=line.name.replace("_", " "))
            force_axis.set(xlabel="displacement (Å)" if line.name.startswith("atom_in") else "distance (Å)")
        axes[0, 0].set(ylabel="energy less that of the end (eV)")
        axes[1, 0].set(ylabel="force along the line (eV/Å)")
        return figure


@dataclass(frozen=True)
class MovedAtom:
    """The first atom of a structure moved along a line of no symmetry."""

    perfect: Atoms
    name: str

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


def measure_smoothness(calculator: Calculator, material: Material, settings: SmoothnessSettings) -> SmoothnessResult:
    """Stretch free pairs or bonds through the cutoff and pull one atom through a crystal."""
    lines = []
    for scan, start, end in _scans(material, settings):
        positions = np.linspace(start, end, settings.points)
        # force and energy of one structure together: a calculator that has computed the one knows the other
        points = [(scan.force(calculator, position), scan.energy(calculator, position)) for position in positions]
        forces, energies = np.array(points).T
        energy = partial(scan.energy, calculator)
        lines.append(analyse_line(scan.name, positions, energies, forces, energy, settings.prominence))
    notes = [f"{line.name}: the energy is constant" for line in lines if np.isnan(line.energy_jump)]
    return SmoothnessResult(
        material=material.name,
        lines=lines,
        worst_energy_jump=_worst([line.energy_jump for line in lines]),
        worst_force_jump=_worst([line.force_jump for line in lines]),
        max_force_energy_mismatch_eV_A=_worst([line.max_force_energy_mismatch_eV_A for line in lines]),
        spurious_minima=sum(line.spurious_minima for line in lines),
        notes=notes,
    )


def _scans(item: Material, settings: SmoothnessSettings) -> list[tuple[PairScan | MovedAtom, float, float]]:
    """Scans, each with its first and last position."""
    pairs = [free_pair(*symbols, length, _BOX_A) for symbols, length in item.dimers.items()]
    pairs += [bond_scan(item, symbols, bond) for symbols, bond in item.bonds.items()]
    low, high = settings.pair_range
    scans: list[tuple[PairScan | MovedAtom, float, float]] = []
    for pair in pairs:
        end = min(high * pair.usual_distance, settings.highest_pair_distance_A)
        scans.append((pair, low * pair.usual_distance, end))
    if not item.bonds:
        name = "atom_in_crystal" if item.is_crystal else "atom_in_structure"
        atom = MovedAtom(item.repeated(settings.bulk_repeat), name)
        scans.append((atom, -settings.atom_range_A, settings.atom_range_A))
    return scans


def analyse_line(
    name: str,
    positions_A: np.ndarray,
    energies_eV: np.ndarray,
    forces_eV_A: np.ndarray,
    energy: Callable[[float], float],
    prominence: float,
) -> LineResult:
    """Smoothness of a curve on a grid ``positions_A`` of even, increasing steps.

    energy: energy (eV) at any position; prominence: depth of an extremum below which it is noise, in ranges of the
    curve.
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
    return float(np.abs(np.diff(values, n=3)).max() / scale) if scale > 0 else np.nan


def _order(jump: float, coarse_jump: float) -> float:
    return float(np.log2(coarse_jump / jump)) if jump > 1e-13 else np.nan


def _worst(values: list[float]) -> float:
    return max((value for value in values if np.isfinite(value)), default=np.nan)


def _peaks(values: np.ndarray, prominence: float) -> int:
    from scipy.signal import find_peaks  # here: it takes a second

    peaks, _ = find_peaks(values, prominence=max(prominence * np.ptp(values), 1e-300))
    return len(peaks)


def _mismatch(
    positions: np.ndarray, energies: np.ndarray, forces: np.ndarray, energy: Callable[[float], float]
) -> float:
    """Largest |F + dE/dx|; slopes are exact, but taken only where those of the grid, which blur, disagree most."""
    suspects = np.argsort(-np.abs(forces + np.gradient(energies, positions)))[:_SUSPECTS]
    return max(abs(float(forces[at]) + energy_slope(energy, float(positions[at]))) for at in suspects)
