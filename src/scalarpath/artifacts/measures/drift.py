"""Statistics of a total energy that should not change: slope, fluctuation, and how they depend on the time step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import units
from scipy.optimize import nnls

from scalarpath.artifacts.bootstrap import block_bootstrap
from scalarpath.artifacts.dynamics import Trajectory, smallest_distance
from scalarpath.core.units import EV_TO_MEV

CURVE_POINTS = 200  # of the energy curve kept for the figure


@dataclass(frozen=True)
class NveLine:
    """Total energy against time at one temperature and time step, over the seeds that did not fail.

    drift: slope of the least-squares line with one offset for each seed (positive: heating), its 95 % block-bootstrap
    interval and the slope of each seed alone; fluctuation: root mean square about the line over the shortest duration,
    which all time steps share; temperature of the relative motion, 3N - 3 degrees of freedom; time_ps,
    energy_change_meV_atom: the curve, mean over seeds, thinned.
    """

    temperature_K: float
    time_step_fs: float
    duration_ps: float
    seeds: list[int]
    failed_seeds: list[int]
    drift_meV_atom_ps: float
    drift_low_meV_atom_ps: float
    drift_high_meV_atom_ps: float
    drift_by_seed_meV_atom_ps: list[float]
    fluctuation_meV_atom: float
    mean_temperature_K: float
    minimum_distance_A: float
    time_ps: list[float]
    energy_change_meV_atom: list[float]


@dataclass(frozen=True)
class NveScaling:
    """How the fluctuation depends on the time step h at one temperature.

    fluctuation_exponent: slope of log fluctuation against log h (2 for a smooth surface); residual: the part r that
    does not depend on h and quadratic_coefficient c of fluctuation^2 = r^2 + (c h^2)^2, fitted to relative accuracy.
    """

    temperature_K: float
    fluctuation_exponent: float
    residual_meV_atom: float
    quadratic_coefficient_meV_atom_fs2: float


def drift_line(
    runs: Mapping[int, Trajectory | None],
    *,
    temperature_K: float,
    time_step_fs: float,
    duration_ps: float,
    window_ps: float,
    block_records: int,
    bootstrap_samples: int,
) -> NveLine:
    """Statistics of the runs of one temperature and time step, by seed; None is a seed that could not be run.

    window_ps: over which the fluctuation is taken; block_records: records in a block of the bootstrap.
    """
    lasting = {seed: run for seed, run in runs.items() if run is not None and run.failure is None}
    series = [energy_rows(run, seed) for seed, run in lasting.items()]
    by_seed = [energy_slope(rows) for rows in series]
    drift, interval = np.nan, (np.nan, np.nan)
    if series:
        drift = energy_slope(np.concatenate(series))
        interval = block_bootstrap(energy_slope, series, block_records, bootstrap_samples, seed=0)
    kinetic = [run.kinetic_energy_eV.mean() * 2 / ((3 * len(run.atoms) - 3) * units.kB) for run in lasting.values()]
    every = max(1, len(series[0]) // CURVE_POINTS) if series else 1
    curve = np.mean([rows - rows[0] for rows in series], axis=0)[::every] if series else np.empty((0, 3))
    return NveLine(
        temperature_K=temperature_K,
        time_step_fs=time_step_fs,
        duration_ps=duration_ps,
        seeds=list(lasting),
        failed_seeds=[seed for seed in runs if seed not in lasting],
        drift_meV_atom_ps=drift,
        drift_low_meV_atom_ps=interval[0],
        drift_high_meV_atom_ps=interval[1],
        drift_by_seed_meV_atom_ps=by_seed,
        fluctuation_meV_atom=energy_fluctuation(series, window_ps),
        mean_temperature_K=float(np.mean(kinetic)) if kinetic else np.nan,
        minimum_distance_A=smallest_distance(run for run in runs.values() if run is not None),
        time_ps=curve[:, 1].tolist(),
        energy_change_meV_atom=curve[:, 2].tolist(),
    )


def drift_scaling(lines: list[NveLine], temperature: float) -> NveScaling:
    """How the fluctuation depends on the time step at one temperature (K)."""
    here = [line for line in lines if line.temperature_K == temperature]
    steps, fluctuations = [line.time_step_fs for line in here], [line.fluctuation_meV_atom for line in here]
    return NveScaling(temperature, *step_dependence(np.array(steps), np.array(fluctuations)))


def energy_rows(run: Trajectory, seed: int) -> np.ndarray:
    """[records, 3]: seed, time in ps, total energy in meV/atom."""
    energy = (run.potential_energy_eV + run.kinetic_energy_eV) * EV_TO_MEV / len(run.atoms)
    return np.column_stack([np.full_like(energy, seed), run.time_fs * 1e-3, energy])


def _centred(rows: np.ndarray) -> np.ndarray:
    """Time and energy [rows, 2] less their means over each seed: every seed has an offset of its own."""
    values = rows[:, 1:].copy()
    for seed in np.unique(rows[:, 0]):
        values[rows[:, 0] == seed] -= values[rows[:, 0] == seed].mean(axis=0)
    return values


def energy_slope(rows: np.ndarray) -> float:
    """Least-squares slope in meV/atom/ps."""
    time, energy = _centred(rows).T
    return float(time @ energy / (time @ time))


def energy_fluctuation(series: list[np.ndarray], window_ps: float) -> float:
    """Root mean square about the line over the first ``window_ps``, which all time steps have; meV/atom."""
    if not series:
        return np.nan
    rows = np.concatenate([part[part[:, 1] <= window_ps] for part in series])
    time, energy = _centred(rows).T
    return float(np.sqrt(np.mean((energy - energy_slope(rows) * time) ** 2)))


def step_dependence(time_step_fs: np.ndarray, fluctuation_meV_atom: np.ndarray) -> tuple[float, float, float]:
    """Exponent, residual r and coefficient c of the fluctuation as a function of the time step h, both [steps].

    The exponent is the slope of log fluctuation against log h; fluctuation^2 = r^2 + (c h^2)^2, r and c not negative,
    is fitted to relative accuracy. NaN where fewer than two fluctuations are known.
    """
    known = fluctuation_meV_atom > 0
    if known.sum() < 2:
        return np.nan, np.nan, np.nan
    step, fluctuation = time_step_fs[known], fluctuation_meV_atom[known]
    exponent = np.polyfit(np.log(step), np.log(fluctuation), 1)[0]
    terms = np.column_stack([np.ones_like(step), step**4]) / fluctuation[:, None] ** 2
    residual, coefficient = np.sqrt(nnls(terms, np.ones_like(step))[0])
    return float(exponent), float(residual), float(coefficient)
