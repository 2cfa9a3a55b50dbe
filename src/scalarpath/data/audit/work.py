"""Do energies, forces and stress belong together: the change of the energy against the work of forces and stress."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scalarpath.data.audit.close_pairs import CLOSE, SAME_CELL, ClosePairs

MOST_PAIRS = 200  # of each kind, the closest ones: the third order is smallest there
FEWEST_PAIRS = 6
MOST_UNEXPLAINED = 0.35  # of the change of the energy; more is no evidence
MOST_DAMAGED = 0.1  # of the pairs, that one broken frame may spoil without the others telling less
MOST_UNCERTAIN = 0.15  # of a factor, between resamplings
LEAST_SHARE = 0.1  # of the change of the energy, that the work of a label makes for it to be judged
NOISE = 0.02  # Å; pairs closer than this tell as much about rounded energies as about forces
REACHES = (0.1, 0.15, CLOSE)  # Å; few very close pairs tell more than many that are less close
SAMPLES = 20


class Factor(NamedTuple):
    """By which number the work must be multiplied to explain the energies, from so many pairs; 1 where all is right."""

    value: float
    uncertainty: float  # relative
    pairs: int


class WorkFit(NamedTuple):
    """energy = forces.value * work of forces + stress.value * work of stress; None where the pairs do not tell.

    unexplained: share of the energy changes that the fit leaves over (NaN without pairs); pairs: how many were used.
    """

    forces: Factor | None
    stress: Factor | None
    unexplained: float
    pairs: int


def fit_work(pairs: ClosePairs, *, per_atom: bool = False) -> WorkFit:
    """Fit both factors in least absolute deviations; ``per_atom`` takes the energies for ones per atom.

    That of the forces comes from pairs of the same cell if they tell it, else from all pairs together.
    A pair is weighted by 1 / (atoms * distance^2), as the third order is the larger the farther and the more.
    """
    chosen = _closest(pairs)
    strained = chosen.strain >= SAME_CELL
    weight = 1.0 / (chosen.atoms * (chosen.distance**2 + NOISE**2))
    energy = chosen.energy * weight * (chosen.atoms if per_atom else 1.0)
    work = np.stack([chosen.forces, np.where(strained, chosen.stress, 0.0)], axis=1) * weight[:, None]
    forces = stress = None
    for reach in REACHES:
        if not forces:
            near = ~strained & (chosen.distance <= reach)
            (forces, _), unexplained = _factors(work[near], energy[near])
    if strained.any():
        (joint, stress), of_all = _factors(work, energy)
        unexplained = unexplained if forces else of_all
        forces = forces or joint
    return WorkFit(forces, stress, unexplained, len(energy))


def _factors(work: np.ndarray, energy: np.ndarray) -> tuple[list[Factor | None], float]:
    """Factors of the columns of ``work`` [P, 2] as far as they can be told, and the share that is not explained."""
    size = np.abs(energy).sum()
    if len(energy) < FEWEST_PAIRS or size == 0.0:
        return [None, None], np.nan
    values = _least_absolute(work, energy)
    left = np.abs(energy - work @ values)
    sound = left <= np.percentile(left, 100 * (1 - MOST_DAMAGED))
    unexplained = float(left[sound].sum() / max(np.abs(energy[sound]).sum(), 1e-300))
    if unexplained > MOST_UNEXPLAINED:
        return [None, None], unexplained
    rng = np.random.default_rng(0)
    draws = rng.integers(len(energy), size=(SAMPLES, len(energy)))
    low, high = np.percentile([_least_absolute(work[draw], energy[draw]) for draw in draws], [10, 90], axis=0)
    found: list[Factor | None] = []
    for value, spread, column in zip(values, high - low, work.T, strict=True):
        share = np.sort(np.abs(value * column))[::-1]
        # the pairs that make nine tenths of the work; one or two far ones are no evidence
        telling = int(np.searchsorted(np.cumsum(share), 0.9 * share.sum()) + 1)
        uncertainty = float(spread / max(abs(value), 1e-300))
        enough = share.sum() > LEAST_SHARE * size and telling >= FEWEST_PAIRS and uncertainty < MOST_UNCERTAIN
        found.append(Factor(float(value), uncertainty, int((share > 0).sum())) if enough else None)
    return found, unexplained


def left_over(pairs: ClosePairs) -> np.ndarray:
    """What the work does not explain of the energy, eV: [P]; NaN where the stress would be needed and is missing."""
    return pairs.energy - pairs.forces - np.where(pairs.strain >= SAME_CELL, pairs.stress, 0.0)


def _closest(pairs: ClosePairs) -> ClosePairs:
    """The closest pairs of the same cell, and of different ones with stress."""
    same = pairs.strain < SAME_CELL
    kinds = (np.flatnonzero(same), np.flatnonzero(~same & np.isfinite(pairs.stress)))
    chosen = [kind[np.argsort(pairs.distance[kind], kind="stable")[:MOST_PAIRS]] for kind in kinds]
    return pairs.where(np.concatenate(chosen))


def _least_absolute(columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients of the columns that make the sum of absolute deviations smallest (reweighted least squares)."""
    # a column without work gets the coefficient 0; each has the same size for the solution's sake
    scale = np.maximum(np.abs(columns).sum(axis=0), 1e-300)
    columns = columns / scale
    weight = np.ones(len(values))
    for _ in range(20):
        solution = np.linalg.lstsq(columns * weight[:, None], values * weight, rcond=1e-10)[0]
        residual = np.abs(values - columns @ solution)
        weight = 1.0 / np.sqrt(np.maximum(residual, 1e-6 * max(residual.mean(), 1e-300)))
        weight /= weight.max()
    return solution / scale
