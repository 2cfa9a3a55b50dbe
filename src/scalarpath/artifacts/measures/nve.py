"""Energy conservation: drift and fluctuation of the total energy along velocity Verlet trajectories.

The integrator alone lets the total energy of a smooth conservative surface fluctuate by an amount that grows as the
square of the time step, and does not let it drift (E. Hairer, C. Lubich and G. Wanner, Acta Numerica 12, 399 (2003)). A
drift, or a fluctuation that small steps do not remove, tells of forces that are no gradient, of kinks, or of rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.bootstrap import block_bootstrap
from scalarpath.artifacts.dynamics import (
    Failure,
    Forces,
    Replica,
    StepsDone,
    Thermostat,
    Trajectory,
    as_forces,
    limits_for,
    run_dynamics,
    smallest_distance,
    thermal_momenta,
    without_drift,
)
from scalarpath.artifacts.measures.drift import energy_fluctuation, energy_rows, energy_slope, step_dependence
from scalarpath.core.errors import ArtifactError

CURVE_POINTS = 200  # of the energy curve kept for the figure

Key = tuple[float, float, int]  # temperature, time step, seed


@dataclass(frozen=True)
class NveSettings:
    """Protocol; the defaults are the full preset.

    Every (temperature, seed) is brought to equilibrium once and every time step starts from that state. durations_ps:
    one for each of time_steps_fs; energies are recorded every sample_interval_fs, a multiple of all time steps;
    block_ps: of the bootstrap; a replica hotter than explosion_factor times its temperature, or with an atom farther
    from all others than evaporation_factor times the largest nearest-neighbour distance at the start, has failed.
    """

    temperatures_K: tuple[float, ...] = (300.0, 900.0)
    time_steps_fs: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    durations_ps: tuple[float, ...] = (5.0, 20.0, 5.0, 5.0)
    seeds: tuple[int, ...] = (0, 1)
    thermostat_ps: float = 2.0
    thermostat_time_step_fs: float = 1.0
    thermostat_friction_per_ps: float = 10.0
    sample_interval_fs: float = 6.0
    block_ps: float = 1.0
    bootstrap_samples: int = 500
    explosion_factor: float = 10.0
    evaporation_factor: float = 2.0

    @classmethod
    def smoke(cls) -> NveSettings:
        """About 250 steps: enough to see an energy that is not conserved at all."""
        return cls(
            temperatures_K=(300.0,),
            time_steps_fs=(1.0, 2.0),
            durations_ps=(0.12, 0.12),
            seeds=(0,),
            thermostat_ps=0.06,
            sample_interval_fs=2.0,
            block_ps=0.02,
        )


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


@dataclass(frozen=True)
class NveFailure:
    """A replica that failed, and when; in the thermostat stage none of its time steps could be run."""

    stage: str
    kind: str
    temperature_K: float
    time_step_fs: float
    seed: int
    time_fs: float
    reason: str


@dataclass(frozen=True)
class NveResult:
    """Drift lines, scalings by temperature and the failures; failed_runs of runs did not last to their end."""

    atoms: int
    lines: list[NveLine]
    scalings: list[NveScaling]
    failures: list[NveFailure]
    runs: int
    failed_runs: int
    notes: list[str]


def measure_nve(
    calculator: Forces | Calculator,
    atoms: Atoms,
    settings: NveSettings | None = None,
    *,
    progress: StepsDone | None = None,
    trajectories: Path | None = None,
) -> NveResult:
    """Drift and fluctuation of the total energy of ``atoms`` (a supercell near its minimum) under ``calculator``.

    progress is called with replica steps done and in all, from 0 for each of the two stages; trajectories: an existing
    folder for the NVE trajectories, 20 fs a frame. Raises ArtifactError for settings that contradict each other.
    """
    settings = settings or NveSettings()
    _check(settings)
    forces = as_forces(calculator)
    states = list(product(settings.temperatures_K, settings.seeds))
    thermostatted = run_dynamics([_thermostat(atoms, settings, *state) for state in states], forces, progress)
    failures = [
        _failure(run.failure, "thermostat", temperature, settings.thermostat_time_step_fs, seed)
        for (temperature, seed), run in zip(states, thermostatted, strict=True)
        if run.failure is not None
    ]
    keys, replicas = [], []
    for ((temperature, seed), start), (step, duration) in product(
        zip(states, thermostatted, strict=True), zip(settings.time_steps_fs, settings.durations_ps, strict=True)
    ):
        if start.failure is None:
            keys.append((temperature, step, seed))
            path = None if trajectories is None else trajectories / f"nve_{temperature:g}K_{step:g}fs_seed{seed}.extxyz"
            replicas.append(_conserving(start.atoms, atoms, settings, temperature, step, duration, path))
    runs = dict(zip(keys, run_dynamics(replicas, forces, progress), strict=True))
    failures += [_failure(run.failure, "nve", *key) for key, run in runs.items() if run.failure is not None]
    lines = [_line(settings, runs, *point) for point in product(settings.temperatures_K, settings.time_steps_fs)]
    scalings = [_scaling(lines, temperature) for temperature in settings.temperatures_K]
    planned = len(states) * len(settings.time_steps_fs)
    failed = planned - sum(run.failure is None for run in runs.values())
    return NveResult(len(atoms), lines, scalings, failures, planned, failed, _notes(lines, failed, planned))


def _check(settings: NveSettings) -> None:
    if len(settings.durations_ps) != len(settings.time_steps_fs):
        raise ArtifactError(
            f"NVE has {len(settings.time_steps_fs)} time steps but {len(settings.durations_ps)} durations; "
            "give one duration for each time step."
        )
    for step in settings.time_steps_fs:
        ratio = settings.sample_interval_fs / step
        if abs(ratio - round(ratio)) > 1e-9 or round(ratio) < 1:
            raise ArtifactError(
                f"sample_interval_fs = {settings.sample_interval_fs} is no multiple of the time step {step} fs; "
                "use a common multiple of all time steps."
            )
    if min(settings.durations_ps) < 2 * settings.block_ps or settings.block_ps * 1e3 < settings.sample_interval_fs:
        raise ArtifactError(
            f"block_ps = {settings.block_ps} does not lie between sample_interval_fs and half the shortest duration, "
            f"{min(settings.durations_ps)} ps; change one of them."
        )


def _thermostat(atoms: Atoms, settings: NveSettings, temperature: float, seed: int) -> Replica:
    start = atoms.copy()
    start.set_momenta(thermal_momenta(start, temperature, seed))
    return Replica(
        start,
        settings.thermostat_time_step_fs,
        max(1, round(settings.thermostat_ps * 1e3 / settings.thermostat_time_step_fs)),
        limits_for(atoms, temperature, settings.explosion_factor, settings.evaporation_factor),
        thermostat=Thermostat(temperature, settings.thermostat_friction_per_ps, seed),
    )


def _conserving(
    start: Atoms,
    atoms: Atoms,
    settings: NveSettings,
    temperature: float,
    step: float,
    duration: float,
    path: Path | None,
) -> Replica:
    return Replica(
        without_drift(start),
        step,
        round(duration * 1e3 / step),
        limits_for(atoms, temperature, settings.explosion_factor, settings.evaporation_factor),
        record_every=round(settings.sample_interval_fs / step),
        snapshot_every=0 if path is None else round(20.0 / step),
        trajectory=path,
    )


def _failure(failure: Failure, stage: str, temperature: float, step: float, seed: int) -> NveFailure:
    return NveFailure(stage, failure.kind, temperature, step, seed, failure.time_fs, failure.reason)


def _line(settings: NveSettings, runs: dict[Key, Trajectory], temperature: float, step: float) -> NveLine:
    """Statistics of one (temperature, time step) over the seeds that lasted."""
    lasting = {s: r for s in settings.seeds if (r := runs.get((temperature, step, s))) and r.failure is None}
    series = [energy_rows(run, seed) for seed, run in lasting.items()]
    by_seed = [energy_slope(rows) for rows in series]
    drift, interval = np.nan, (np.nan, np.nan)
    if series:
        drift = energy_slope(np.concatenate(series))
        block = round(settings.block_ps * 1e3 / settings.sample_interval_fs)
        interval = block_bootstrap(energy_slope, series, block, settings.bootstrap_samples, seed=0)
    kinetic = [run.kinetic_energy_eV.mean() * 2 / ((3 * len(run.atoms) - 3) * units.kB) for run in lasting.values()]
    every = max(1, len(series[0]) // CURVE_POINTS) if series else 1
    curve = np.mean([rows - rows[0] for rows in series], axis=0)[::every] if series else np.empty((0, 3))
    return NveLine(
        temperature_K=temperature,
        time_step_fs=step,
        duration_ps=settings.durations_ps[settings.time_steps_fs.index(step)],
        seeds=list(lasting),
        failed_seeds=[seed for seed in settings.seeds if seed not in lasting],
        drift_meV_atom_ps=drift,
        drift_low_meV_atom_ps=interval[0],
        drift_high_meV_atom_ps=interval[1],
        drift_by_seed_meV_atom_ps=by_seed,
        fluctuation_meV_atom=energy_fluctuation(series, min(settings.durations_ps)),
        mean_temperature_K=float(np.mean(kinetic)) if kinetic else np.nan,
        minimum_distance_A=smallest_distance(run for key, run in runs.items() if key[:2] == (temperature, step)),
        time_ps=curve[:, 1].tolist(),
        energy_change_meV_atom=curve[:, 2].tolist(),
    )


def _scaling(lines: list[NveLine], temperature: float) -> NveScaling:
    here = [line for line in lines if line.temperature_K == temperature]
    steps, fluctuations = [line.time_step_fs for line in here], [line.fluctuation_meV_atom for line in here]
    return NveScaling(temperature, *step_dependence(np.array(steps), np.array(fluctuations)))


def _notes(lines: list[NveLine], failed: int, planned: int) -> list[str]:
    notes = [f"{failed} of {planned} runs failed; drift and fluctuation are of the others alone."] if failed else []
    notes += [
        f"No run at {line.temperature_K:g} K and {line.time_step_fs:g} fs lasted: nothing could be measured there."
        for line in lines
        if not line.seeds
    ]
    return notes
