"""Statistics of a total energy that should not change: slope, fluctuation, and how they depend on the time step."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from scalarpath.artifacts.dynamics import Trajectory
from scalarpath.core.units import EV_TO_MEV


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
