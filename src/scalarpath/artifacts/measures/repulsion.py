"""Short-range repulsion: is the wall as steep as the reference's, in the right place, and free of holes?

A model that is too soft lets atoms come too close: its forces on the wall are smaller than the reference's (softening
slope below one, as Deng et al., npj Comput. Mater. 11, 9, 2025, fit it) and an energy is reached at a shorter distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list
from scipy.interpolate import CubicHermiteSpline

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.materials import Material, pair_name
from scalarpath.artifacts.measure import Claim, Curve, Measure, Measurement, Progress
from scalarpath.artifacts.measures.softening import TopForceResult, softening_of_top_forces, softening_slope
from scalarpath.artifacts.measures.wall_comparison import WallResult, compare_wall, forces_at_reference
from scalarpath.artifacts.measures.walls import EQUILIBRIUM_FRACTIONS, CompressedCrystal, Scan, wall_curve, wall_scans
from scalarpath.artifacts.ranges import refuse_empty_or_twice
from scalarpath.artifacts.rows import NO_REFERENCE, Row, compared
from scalarpath.artifacts.stored_values import Reference, StoredValues, WallCurve
from scalarpath.core.errors import ConfigError
from scalarpath.core.figures import MODEL, REFERENCE, legend, panels
from scalarpath.core.settings import Range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOP_EV = 15.0  # of the energy axis
_LINE_POINTS = 400
ABOVE_MINIMUM = "energy above the minimum (eV)"
_MOST_MARKERS = 20  # more points are a line


@dataclass(frozen=True)
class RepulsionSettings:
    """What is scanned; fractions are of the usual distance of each pair.

    lowest_fraction: where scans of pairs start; crystal_lowest_fraction: where the compressed crystal starts, a linear
    scale; wall_fraction: where the wall ends, the scan goes on to 1.1 to find the minimum; points: of each scan;
    consistency_points: points of the wall at which force and energy difference are compared; levels_eV: energies above
    the minimum at which the place of the wall is compared; bulk_repeat: conventional cells along each axis that hold
    the pair in the crystal, with one the pair would meet its own images.
    """

    lowest_fraction: Annotated[float, Range(at_least=0.1, below=1.0)]
    crystal_lowest_fraction: Annotated[float, Range(at_least=0.3, below=1.0)]
    wall_fraction: Annotated[float, Range(above=0.0, at_most=1.0)]
    points: Annotated[int, Range(at_least=10, at_most=10_000)]
    consistency_points: Annotated[int, Range(at_least=1, at_most=10_000)]
    levels_eV: tuple[Annotated[float, Range(above=0.0, at_most=1e4)], ...]
    bulk_repeat: Annotated[int, Range(at_least=2, at_most=8)]

    def __post_init__(self) -> None:
        lowest = max(self.lowest_fraction, self.crystal_lowest_fraction)
        if not lowest < self.wall_fraction:
            raise ConfigError(
                f"settings.repulsion.wall_fraction = {self.wall_fraction:g} leaves no wall beyond the lowest fraction, "
                f"{lowest:g}; raise the one or lower the other."
            )
        refuse_empty_or_twice("settings.repulsion.levels_eV", self.levels_eV)


@dataclass(frozen=True)
class RepulsionResult:
    """All scans of a material; softening_slope: over the wall forces of all scans that have a reference, pooled."""

    material: str
    softening_slope: float
    walls: list[WallResult]
    notes: list[str]


class Repulsion(Measure[RepulsionSettings]):
    """Walls of free pairs, of pairs in the crystal, of the compressed crystal, of the bonds of a molecule."""

    name = "repulsion"
    settings = RepulsionSettings
    claim = Claim("less softened repulsion", "|slope - 1|", "softening_slope", "error", over_rows=np.mean)
    charts = (
        ("repulsion: softening slope (1 is right)", "softening_slope"),
        ("repulsion: share of a wall that rises", "monotonic_fraction"),
    )

    def measure(
        self, bench: Bench, settings: RepulsionSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        progress("repulsion", 0, 0)
        shortest = bench.min_train_distance_A
        model = measure_repulsion(bench.calculator, bench.material, settings, bench.reference, shortest)
        results: dict[str, Any] = {"model": model}
        if bench.test_frames:
            progress("largest test forces", 0, 0)
            results["top_forces"] = softening_of_top_forces(bench.calculator, bench.test_frames)
        used = {"material": bench.material.name, **asdict(settings), "min_train_distance_A": shortest}
        return Measurement(results, used)

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        result: RepulsionResult = measurement.results["model"]
        top: TopForceResult | None = measurement.results.get("top_forces")
        known = any(wall.reference is not None for wall in result.walls)
        if known:
            note = "all scans, of which free pairs weigh most; below 1 is too soft"
            yield compared("softening_slope", "softening slope, walls", "", result.softening_slope, 1.0, note=note)
        if top is not None:
            note = f"{top.atoms} atoms with forces above {top.smallest_top_force_eV_A:.3g} eV/Å"
            slope = top.softening_slope
            yield compared("softening_slope_top_forces", "softening slope, test forces", "", slope, 1.0, note=note)
        for wall in result.walls:
            yield from _slope_rows(wall)
            yield _wall_row(wall)
        measures = [wall.wall for wall in result.walls]
        monotonic = min(item.monotonic_fraction for item in measures)
        worst = min(result.walls, key=lambda wall: wall.wall.monotonic_fraction).name
        note = "" if monotonic > 0.999 else f"energy falls inwards on the wall of {worst}"
        yield compared("monotonic_fraction", "wall that rises inwards", "", monotonic, 1.0, note=note)
        flips = sum(item.force_sign_flips for item in measures)
        yield compared("force_sign_flips", "force flips on walls", "", float(flips), 0.0)
        mismatch = max(item.max_force_energy_mismatch_eV_A for item in measures)
        yield compared("max_force_energy_mismatch_eV_A", "|F + dE/dr| on walls", "eV/Å", mismatch, 0.0)

    def figure(self, measurement: Measurement) -> Figure:
        """Energy above the minimum and force of every scan, with the points of the reference."""
        result: RepulsionResult = measurement.results["model"]
        shortest = measurement.settings["min_train_distance_A"] or {}
        figure, axes = panels(2, len(result.walls), share_x=True)
        for (energy_axis, force_axis), wall in zip(axes.T, result.walls, strict=True):
            _draw_wall(energy_axis, force_axis, wall)
            for axis in (energy_axis, force_axis):
                axis.axhline(0.0, color="0.85", lw=0.8, zorder=0)
                if (border := _shortest(shortest, wall)) is not None and border > wall.model.distance_A[0]:
                    axis.axvline(border, color="0.5", ls=":", lw=1.0, label="shortest training distance")
            energy_axis.set(title=wall.name.replace("_", " "), ylim=(-0.06 * _TOP_EV, _TOP_EV))
            force_axis.set(xlabel="distance (Å)")
        axes[0, 0].set(ylabel=ABOVE_MINIMUM)
        axes[1, 0].set(ylabel="$-dE/dr$ (eV/Å)")
        legend(figure, axes)
        return figure

    def curves(self, results: Mapping[str, Any]) -> Iterator[Curve]:
        """Energy above the minimum; of the reference as far as a figure shows it."""
        for wall in results["model"]["walls"]:
            title = wall["name"].replace("_", " ")
            for name in ("reference", "model"):
                if (curve := wall[name]) is not None:
                    is_reference = name == "reference"
                    height = _height(curve["distance_A"], curve["energy_eV"], wall["wall_end_A"])
                    shown = np.where(height < _TOP_EV, height, np.nan) if is_reference else height
                    distance = np.array(curve["distance_A"], float)
                    yield Curve(title, "distance (Å)", ABOVE_MINIMUM, distance, shown, is_reference)


def measure_repulsion(
    calculator: Calculator,
    material: Material,
    settings: RepulsionSettings,
    reference: Reference | None = None,
    min_train_distance_A: Mapping[str, float] | None = None,
) -> RepulsionResult:
    """Scan all walls of a material. Without a reference, what compares is NaN.

    min_train_distance_A: how far the training set goes, see ``training_reach``.
    """
    walls = []
    for scan in wall_scans(material, settings.bulk_repeat):
        grid = scan_distances(scan, settings)
        if isinstance(reference, StoredValues):
            known = reference.walls.get(scan.name)
        else:
            known = None if reference is None else wall_curve(scan, reference, grid)
        walls.append(
            compare_wall(
                scan,
                calculator,
                grid,
                known,
                wall_fraction=settings.wall_fraction,
                consistency_points=settings.consistency_points,
                levels_eV=settings.levels_eV,
                shortest_training_A=_shortest(min_train_distance_A or {}, scan),
            )
        )
    forces = [forces_at_reference(wall.model, wall.reference, 0.0, wall.wall_end_A) for wall in walls]
    pooled = (np.concatenate(parts) for parts in zip(*forces, strict=True))
    notes = [f"{wall.name}: {note}" for wall in walls for note in wall.notes]
    return RepulsionResult(material.name, softening_slope(*pooled), walls, notes)


def training_reach(frames: Sequence[Atoms], material: Material) -> dict[str, float]:
    """How far a training set goes up the walls of a material (Å), by pair and, under ``crystal``, by density.

    The latter is the nearest-neighbour distance of the crystal at the smallest volume per atom of all frames that fill
    space: two atoms that meet in a warm crystal have not shown what a dense one is.
    """
    reach = shortest_distances(frames)
    volumes = [atoms.get_volume() / len(atoms) for atoms in frames if atoms.pbc.all()]
    if material.is_crystal and volumes:
        cell = material.conventional_cell(material.lattice_constant_A)
        usual = cell.get_volume() / len(cell)
        reach[CompressedCrystal(material).name] = material.nearest_neighbour * (min(volumes) / usual) ** (1 / 3)
    return reach


def _shortest(reach: Mapping[str, float], wall: Scan | WallResult) -> float | None:
    """Where training ends on a wall; runs from before know the pairs alone."""
    return reach.get(wall.name, reach.get(wall.pair))


def shortest_distances(frames: Sequence[Atoms], longest_A: float = 5.0) -> dict[str, float]:
    """Shortest distance of each pair of elements in a set of frames (Å), ``LiF``."""
    shortest: dict[str, float] = {}
    for atoms in frames:
        symbols = atoms.get_chemical_symbols()
        for first, second, distance in zip(*neighbor_list("ijd", atoms, longest_A), strict=True):
            pair = pair_name(symbols[first], symbols[second])
            shortest[pair] = min(shortest.get(pair, np.inf), float(distance))
    return shortest


def scan_distances(scan: Scan, settings: RepulsionSettings) -> np.ndarray:
    """Distances (Å) at which a scan is computed, increasing."""
    lowest = settings.crystal_lowest_fraction if isinstance(scan, CompressedCrystal) else settings.lowest_fraction
    return scan.usual_distance * np.linspace(lowest, EQUILIBRIUM_FRACTIONS[1], settings.points)


def _slope_rows(wall: WallResult) -> Iterator[Row]:
    """Of each wall alone, because free pairs have the largest forces; and of the part that training does not reach."""
    parts = {"": (wall.wall, ""), "_beyond_training": (wall.out_of_training_range, ", beyond training")}
    for key, (part, where) in parts.items():
        if part is not None and np.isfinite(part.softening_slope):
            quantity = f"{wall.name} slope{where}"
            yield compared(f"softening_slope_{wall.name}{key}", quantity, "", part.softening_slope, 1.0)


def _wall_row(wall: WallResult) -> Row:
    """Place of the wall at 5 eV, or at the nearest level that both curves reach."""
    levels = sorted(wall.wall_distance_A, key=lambda level: abs(float(level[3:-2]) - 5.0))
    wanted = [wall.wall_distance_error_A, wall.wall_distance_A]
    level = next((at for table in wanted for at in levels if np.isfinite(table[at])), levels[0])
    notes = [] if wall.reference is not None else [NO_REFERENCE]
    if wall.level_in_training_range and not wall.level_in_training_range[level]:
        notes.append("beyond training")
    key = f"wall_distance_A_{level}_{wall.name}"
    distances = wall.wall_distance_A[level], wall.reference_wall_distance_A[level]
    return compared(key, f"{wall.name} wall at {level[3:-2]} eV", "Å", *distances, note="; ".join(notes))


def _draw_wall(energy_axis: Axes, force_axis: Axes, wall: WallResult) -> None:
    _draw_curve(energy_axis, force_axis, wall.model, wall.wall_end_A, label="model", color=MODEL)
    if wall.reference is not None:
        dense = len(wall.reference.distance_A) > _MOST_MARKERS
        style: dict[str, Any] = {"lw": 1.0, "ls": "--"} if dense else {"marker": "o", "ms": 4, "ls": "none"}
        style |= {"label": "reference", "color": REFERENCE}
        _draw_curve(energy_axis, force_axis, wall.reference, wall.wall_end_A, **style)
    tops = []
    for curve in filter(None, (wall.model, wall.reference)):
        height, force = _height(curve.distance_A, curve.energy_eV, wall.wall_end_A), np.asarray(curve.force_eV_A)
        tops += force[(height < _TOP_EV) & np.isfinite(force)].tolist()
    if tops and max(tops) > 0:
        force_axis.set_ylim(-0.15 * max(tops), 1.15 * max(tops))


def _height(distance_A: Sequence[float], energy_eV: Sequence[float], wall_end_A: float) -> np.ndarray:
    """Energy above the minimum that lies beyond the wall, so that no hole in it is taken for the minimum."""
    distance, energy = np.array(distance_A, float), np.array(energy_eV, float)
    return energy - energy[distance >= wall_end_A].min()


def _draw_curve(energy_axis: Axes, force_axis: Axes, curve: WallCurve, wall_end_A: float, **style: Any) -> None:
    """Points as they are; a line as the cubic that has their energies and forces."""
    distance, force = np.asarray(curve.distance_A), np.asarray(curve.force_eV_A)
    height = _height(curve.distance_A, curve.energy_eV, wall_end_A)
    if style.get("ls") != "none" and np.isfinite(force).all():
        cubic = CubicHermiteSpline(distance, height, -force)
        distance = np.linspace(distance[0], distance[-1], _LINE_POINTS)
        height, force = cubic(distance), -cubic(distance, 1)
    energy_axis.plot(distance, height, **style)
    force_axis.plot(distance, force, **style)
