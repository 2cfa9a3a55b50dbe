"""Short-range repulsion: is the wall as steep as the reference's, in the right place, and free of holes?

A model that is too soft lets atoms come too close: its forces on the wall are smaller than the reference's (softening
slope below one, as Deng et al., npj Comput. Mater. 11, 9, 2025, fit it) and an energy is reached at a shorter distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list

from scalarpath.artifacts.materials import material, pair_name
from scalarpath.artifacts.measures.softening import softening_slope
from scalarpath.artifacts.measures.walls import (
    EQUILIBRIUM_FRACTIONS,
    Scan,
    energy_slope,
    wall_curve,
    wall_distances,
    wall_scans,
)
from scalarpath.artifacts.stored_values import Reference, StoredValues, WallCurve
from scalarpath.core.errors import ArtifactError

NAN = float("nan")


@dataclass(frozen=True)
class RepulsionSettings:
    """What is scanned; fractions are of the usual distance of each pair.

    Attributes:
        material: Name in ``MATERIALS``.
        lowest_fraction: Where scans of pairs start.
        crystal_lowest_fraction: Where the compressed crystal starts: linear scale.
        wall_fraction: Where the wall ends; the scan goes on to 1.1 to find the minimum.
        points: Of each scan.
        consistency_points: Points of the wall at which force and energy difference are compared.
        levels_eV: Energies above the minimum at which the wall's place is compared.
        bulk_repeat: Conventional cells along each axis that hold the pair in the crystal.
        min_train_distance_A: Shortest distance of the training set by pair (``LiF``), see ``shortest_distances``.
    """

    material: str = "si"
    lowest_fraction: float = 0.6
    crystal_lowest_fraction: float = 0.74
    wall_fraction: float = 0.95
    points: int = 51
    consistency_points: int = 12
    levels_eV: tuple[float, ...] = (1.0, 5.0, 10.0)
    bulk_repeat: int = 2
    min_train_distance_A: dict[str, float] | None = None

    @classmethod
    def smoke(cls, material: str = "si") -> "RepulsionSettings":
        """Quick: half of the points."""
        return cls(material=material, points=26, consistency_points=4)


@dataclass(frozen=True)
class WallMeasures:
    """What is measured over (a part of) a wall.

    Attributes:
        points: Of the model's curve in this part.
        softening_slope: sum F_ref F / sum F_ref^2 over the reference's points; below one is too soft.
        relative_force_error_median, relative_force_error_max: |F - F_ref| / |F_ref|.
        monotonic_fraction: Share of its length over which the energy rises as the distance falls.
        force_sign_flips: Changes of sign of the force.
        max_force_energy_mismatch_eV_A: max |F + dE/dr|.
    """

    points: int
    softening_slope: float
    relative_force_error_median: float
    relative_force_error_max: float
    monotonic_fraction: float
    force_sign_flips: int
    max_force_energy_mismatch_eV_A: float


@dataclass(frozen=True)
class WallResult:
    """One scan.

    Attributes:
        name, pair: Of the scan and of its elements.
        wall_end_A: Distance below which a point belongs to the wall.
        model, reference: The curves, for figures; the model's also at the reference's distances.
        wall: Over the whole wall.
        in_training_range, out_of_training_range: Over the parts beyond and below the shortest training distance.
        wall_distance_A, reference_wall_distance_A: Where an energy above the minimum is reached, by ``at_5eV``.
        wall_distance_error_A: Model minus reference; negative: the model lets atoms come closer.
        level_in_training_range: Whether the reference reaches the energy beyond the shortest training distance.
        notes: What could not be measured, and why.
    """

    name: str
    pair: str
    wall_end_A: float
    model: WallCurve
    reference: WallCurve | None
    wall: WallMeasures
    in_training_range: WallMeasures | None
    out_of_training_range: WallMeasures | None
    wall_distance_A: dict[str, float]
    reference_wall_distance_A: dict[str, float]
    wall_distance_error_A: dict[str, float]
    level_in_training_range: dict[str, bool]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RepulsionResult:
    """All scans of a material.

    Attributes:
        material: Its name.
        softening_slope: Over all wall forces of all scans that have a reference, pooled.
        walls: One result per scan.
        notes: Those of the scans.
    """

    material: str
    softening_slope: float
    walls: list[WallResult]
    notes: list[str]


def measure_repulsion(
    calculator: Calculator, settings: RepulsionSettings, reference: Reference | None = None
) -> RepulsionResult:
    """Scan all walls of a material.

    Args:
        calculator: Measured.
        settings: What is scanned.
        reference: Stored curves, or a calculator that is scanned as the model is; without it, what compares is NaN.

    Raises:
        ArtifactError: A setting is impossible.
    """
    _check(settings)
    walls = []
    for scan in wall_scans(material(settings.material), settings.bulk_repeat):
        grid = scan_distances(scan, settings)
        if isinstance(reference, StoredValues):
            known = reference.walls.get(scan.name)
        else:
            known = None if reference is None else wall_curve(scan, reference, grid)
        walls.append(_measure_wall(scan, calculator, grid, settings, known))
    forces = [_forces_at_reference(wall.model, wall.reference, 0.0, wall.wall_end_A) for wall in walls]
    pooled = (np.concatenate(parts) for parts in zip(*forces, strict=True))
    notes = [f"{wall.name}: {note}" for wall in walls for note in wall.notes]
    return RepulsionResult(settings.material, softening_slope(*pooled), walls, notes)


def shortest_distances(frames: Sequence[Atoms], longest_A: float = 5.0) -> dict[str, float]:
    """Shortest distance of each pair of elements in a set of frames, for ``min_train_distance_A``; Å."""
    shortest: dict[str, float] = {}
    for atoms in frames:
        symbols = atoms.get_chemical_symbols()
        for first, second, distance in zip(*neighbor_list("ijd", atoms, longest_A), strict=True):
            pair = pair_name(symbols[first], symbols[second])
            shortest[pair] = min(shortest.get(pair, np.inf), float(distance))
    return shortest


def _check(settings: RepulsionSettings) -> None:
    lowest = max(settings.lowest_fraction, settings.crystal_lowest_fraction)
    if not 0 < lowest < settings.wall_fraction <= 1 or min(settings.lowest_fraction, settings.points - 9) <= 0:
        raise ArtifactError(
            f"a wall needs 0 < lowest fractions < wall_fraction <= 1 and at least 10 points, not {settings}."
        )


def scan_distances(scan: Scan, settings: RepulsionSettings) -> np.ndarray:
    """Distances (Å) at which a scan is computed, increasing."""
    lowest = settings.crystal_lowest_fraction if scan.name == "crystal" else settings.lowest_fraction
    return scan.usual_distance * np.linspace(lowest, EQUILIBRIUM_FRACTIONS[1], settings.points)


def _measure_wall(
    scan: Scan, calculator: Calculator, grid: np.ndarray, settings: RepulsionSettings, reference: WallCurve | None
) -> WallResult:
    known = np.empty(0) if reference is None else np.asarray(reference.distance_A)
    missing = [distance for distance in known if np.abs(grid - distance).min() > 1e-9]
    model = wall_curve(scan, calculator, np.sort(np.concatenate([grid, missing])))
    end = settings.wall_fraction * scan.usual_distance
    border = (settings.min_train_distance_A or {}).get(scan.pair)
    wall_grid = grid[grid <= end]
    checked = wall_grid[np.linspace(0, len(wall_grid) - 1, settings.consistency_points).round().astype(int)]
    mismatch = {
        float(distance): abs(
            scan.force(calculator, distance) + energy_slope(partial(scan.energy, calculator), distance)
        )
        for distance in np.unique(checked)
    }
    notes = [] if reference is not None else ["no reference curve, so nothing is compared"]
    if np.isnan(model.force_eV_A).any():
        notes.append("the calculator gives no stress, so forces of the compressed crystal are unknown")
    found = wall_distances(model, scan.usual_distance, settings.levels_eV)
    expected = dict.fromkeys(found, NAN)
    if reference is not None:
        expected = wall_distances(reference, scan.usual_distance, settings.levels_eV)
        for key in found:
            if np.isnan(expected[key]):
                notes.append(f"the reference curve does not reach the level {key}")
            elif np.isnan(found[key]):
                notes.append(f"the model does not reach the level {key} down to {model.distance_A[0]:.3f} Å")
    return WallResult(
        name=scan.name,
        pair=scan.pair,
        wall_end_A=end,
        model=model,
        reference=reference,
        wall=_measures(model, reference, mismatch, 0.0, end),
        in_training_range=None if border is None else _measures(model, reference, mismatch, border, end),
        out_of_training_range=None if border is None else _measures(model, reference, mismatch, 0.0, min(border, end)),
        wall_distance_A=found,
        reference_wall_distance_A=expected,
        wall_distance_error_A={key: found[key] - expected[key] for key in found},
        level_in_training_range={} if border is None else {key: expected[key] >= border for key in found},
        notes=notes,
    )


def _measures(
    model: WallCurve, reference: WallCurve | None, mismatch: dict[float, float], start: float, end: float
) -> WallMeasures:
    distance, energy, force = (np.asarray(values) for values in (model.distance_A, model.energy_eV, model.force_eV_A))
    inside = (distance >= start) & (distance <= end)
    steps, falls = np.diff(distance[inside]), np.diff(energy[inside]) < 0
    signs = np.sign(force[inside])
    expected, compared = _forces_at_reference(model, reference, start, end)
    error = np.abs(compared - expected) / np.abs(expected)
    mismatches = [value for at, value in mismatch.items() if start <= at <= end]
    return WallMeasures(
        points=int(inside.sum()),
        softening_slope=softening_slope(expected, compared),
        relative_force_error_median=float(np.median(error)) if len(error) else NAN,
        relative_force_error_max=float(error.max()) if len(error) else NAN,
        monotonic_fraction=float(steps[falls].sum() / steps.sum()) if len(steps) else NAN,
        force_sign_flips=int((signs[1:] * signs[:-1] < 0).sum()),
        max_force_energy_mismatch_eV_A=float(max(mismatches, default=NAN)),
    )


def _forces_at_reference(
    model: WallCurve, reference: WallCurve | None, start: float, end: float
) -> tuple[np.ndarray, np.ndarray]:
    """Reference forces and the model's at the same distances; the model's curve holds all of the reference's."""
    if reference is None:
        return np.empty(0), np.empty(0)
    at = np.asarray(reference.distance_A)
    inside = (at >= start) & (at <= end)
    nearest = [int(np.argmin(np.abs(np.asarray(model.distance_A) - distance))) for distance in at[inside]]
    return np.asarray(reference.force_eV_A)[inside], np.asarray(model.force_eV_A)[nearest]
