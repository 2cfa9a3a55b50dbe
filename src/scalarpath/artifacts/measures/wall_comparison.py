"""The wall of a model beside that of the reference: its slope, its place, and faults of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.measures.softening import softening_slope
from scalarpath.artifacts.measures.walls import Scan, energy_slope, wall_curve, wall_distances
from scalarpath.artifacts.stored_values import WallCurve


@dataclass(frozen=True)
class WallMeasures:
    """What is measured over (a part of) a wall.

    points: of the model's curve in this part; softening_slope: sum F_ref F / sum F_ref^2 over the reference's points,
    below one is too soft; relative_force_error_median, relative_force_error_max: |F - F_ref| / |F_ref|;
    monotonic_fraction: share of its length over which the energy rises as the distance falls; force_sign_flips: changes
    of sign of the force; max_force_energy_mismatch_eV_A: max |F + dE/dr|.
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
    """One scan of ``pair``, two elements.

    wall_end_A: distance below which a point belongs to the wall; model, reference: the curves, that of the model also
    at the reference's distances; wall: over the whole wall; in_training_range, out_of_training_range: over the parts
    beyond and below the shortest training distance; wall_distance_A, reference_wall_distance_A: where an energy above
    the minimum is reached, by ``at_5eV``; wall_distance_error_A: model minus reference, negative: the model lets atoms
    come closer; level_in_training_range: whether the reference reaches the energy beyond the shortest training
    distance; notes: what could not be measured, and why.
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


def compare_wall(
    scan: Scan,
    calculator: Calculator,
    grid: np.ndarray,
    reference: WallCurve | None,
    *,
    wall_fraction: float,
    consistency_points: int,
    levels_eV: Sequence[float],
    shortest_training_A: float | None,
) -> WallResult:
    """Scan a wall at the distances ``grid`` (Å, increasing) and compare it with the curve of the reference.

    wall_fraction: where the wall ends, in usual distances of the pair; consistency_points: how many points of the wall
    force and energy difference are compared at; levels_eV: energies above the minimum at which places are compared;
    shortest_training_A: shortest distance of the pair in the training set, if known.
    """
    known = np.empty(0) if reference is None else np.asarray(reference.distance_A)
    missing = [distance for distance in known if np.abs(grid - distance).min() > 1e-9]
    model = wall_curve(scan, calculator, np.sort(np.concatenate([grid, missing])))
    end = wall_fraction * scan.usual_distance
    border = shortest_training_A
    wall_grid = grid[grid <= end]
    checked = wall_grid[np.linspace(0, len(wall_grid) - 1, consistency_points).round().astype(int)]
    mismatch = {
        float(distance): abs(
            scan.force(calculator, distance) + energy_slope(partial(scan.energy, calculator), distance)
        )
        for distance in np.unique(checked)
    }
    notes = [] if reference is not None else ["no reference curve, so nothing is compared"]
    if np.isnan(model.force_eV_A).any():
        notes.append("the calculator gives no stress, so forces of the compressed crystal are unknown")
    found = wall_distances(model, scan.usual_distance, levels_eV)
    expected = dict.fromkeys(found, np.nan)
    if reference is not None:
        expected = wall_distances(reference, scan.usual_distance, levels_eV)
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
    expected, compared = forces_at_reference(model, reference, start, end)
    error = np.abs(compared - expected) / np.abs(expected)
    mismatches = [value for at, value in mismatch.items() if start <= at <= end]
    return WallMeasures(
        points=int(inside.sum()),
        softening_slope=softening_slope(expected, compared),
        relative_force_error_median=float(np.median(error)) if len(error) else np.nan,
        relative_force_error_max=float(error.max()) if len(error) else np.nan,
        monotonic_fraction=float(steps[falls].sum() / steps.sum()) if len(steps) else np.nan,
        force_sign_flips=int((signs[1:] * signs[:-1] < 0).sum()),
        max_force_energy_mismatch_eV_A=float(max(mismatches, default=np.nan)),
    )


def forces_at_reference(
    model: WallCurve, reference: WallCurve | None, start: float, end: float
) -> tuple[np.ndarray, np.ndarray]:
    """Forces of the reference and of the model at the same distances, from ``start`` to ``end`` (Å).

    The curve of the model holds all distances of the reference.
    """
    if reference is None:
        return np.empty(0), np.empty(0)
    at = np.asarray(reference.distance_A)
    inside = (at >= start) & (at <= end)
    nearest = [int(np.argmin(np.abs(np.asarray(model.distance_A) - distance))) for distance in at[inside]]
    return np.asarray(reference.force_eV_A)[inside], np.asarray(model.force_eV_A)[nearest]
