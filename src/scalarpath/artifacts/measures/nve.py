"""Energy conservation: drift and fluctuation of the total energy along velocity Verlet trajectories.

The integrator alone lets the total energy of a smooth conservative surface fluctuate by an amount that grows as the
square of the time step, and does not let it drift (E. Hairer, C. Lubich and G. Wanner, Acta Numerica 12, 399 (2003)). A
drift, or a fluctuation that small steps do not remove, tells of forces that are no gradient, of kinks, or of rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.dynamics import (
    Failure,
    Forces,
    Replica,
    StepsDone,
    Thermostat,
    as_forces,
    limits_for,
    run_dynamics,
    thermal_momenta,
    without_drift,
)
from scalarpath.artifacts.measure import Claim, Measure, Measurement, Progress
from scalarpath.artifacts.measures.drift import NveLine, NveScaling, drift_line, drift_scaling
from scalarpath.artifacts.ranges import (
    MAX_RECORDS,
    MAX_RESAMPLED,
    Beyond,
    CellEdge,
    Friction,
    Samples,
    Temperature,
    TimeStep,
    refuse_empty_or_twice,
    refuse_endless,
)
from scalarpath.artifacts.rows import Row, compared
from scalarpath.core.errors import ConfigError
from scalarpath.core.figures import REFERENCE, SERIES, panels
from scalarpath.core.settings import NonNegative, Positive, Whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKS = (("o", "-"), ("s", "--"), ("^", ":"))


@dataclass(frozen=True)
class NveSettings:
    """The protocol: every temperature and seed is brought to equilibrium once, and every time step starts from there.

    durations_ps: one for each of time_steps_fs; energies are recorded every sample_interval_fs, a multiple of all time
    steps; block_ps: of the bootstrap; a replica hotter than explosion_factor times its temperature, or with an atom
    farther from all others than evaporation_factor times the largest nearest-neighbour distance at the start, has
    failed; min_cell_A: smallest edge of the supercell.
    """

    temperatures_K: tuple[Temperature, ...]
    time_steps_fs: tuple[TimeStep, ...]
    durations_ps: tuple[Positive, ...]
    seeds: tuple[Whole, ...]
    thermostat_ps: NonNegative
    thermostat_time_step_fs: TimeStep
    thermostat_friction_per_ps: Friction
    sample_interval_fs: Positive
    block_ps: Positive
    bootstrap_samples: Samples
    explosion_factor: Beyond
    evaporation_factor: Beyond
    min_cell_A: CellEdge

    def __post_init__(self) -> None:
        for name in ("temperatures_K", "time_steps_fs", "seeds"):
            refuse_empty_or_twice(f"settings.nve.{name}", getattr(self, name))
        if len(self.durations_ps) != len(self.time_steps_fs):
            raise ConfigError(
                f"settings.nve has {len(self.time_steps_fs)} time steps but {len(self.durations_ps)} durations; "
                "give one duration for each time step."
            )
        refuse_endless("settings.nve.thermostat_ps", self.thermostat_ps, self.thermostat_time_step_fs)
        for step, duration in zip(self.time_steps_fs, self.durations_ps, strict=True):
            refuse_endless("settings.nve.durations_ps", duration, step)
            refuse_endless("settings.nve.durations_ps", duration, self.sample_interval_fs, MAX_RECORDS)
        resampled = self.bootstrap_samples * len(self.seeds) * max(self.durations_ps) * 1e3 / self.sample_interval_fs
        if resampled > MAX_RESAMPLED:
            raise ConfigError(
                f"settings.nve.bootstrap_samples = {self.bootstrap_samples} of so many records take "
                f"{8e-9 * resampled:.0f} GB; lower it or raise sample_interval_fs."
            )
        for step in self.time_steps_fs:
            ratio = self.sample_interval_fs / step
            if abs(ratio - round(ratio)) > 1e-9 or round(ratio) < 1:
                raise ConfigError(
                    f"settings.nve.sample_interval_fs = {self.sample_interval_fs} is no multiple of the time step "
                    f"{step} fs; use a common multiple of all time steps."
                )
        if min(self.durations_ps) < 2 * self.block_ps or self.block_ps * 1e3 < self.sample_interval_fs:
            raise ConfigError(
                f"settings.nve.block_ps = {self.block_ps} does not lie between sample_interval_fs and half the "
                f"shortest duration, {min(self.durations_ps)} ps; change one of them."
            )


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


class EnergyConservation(Measure[NveSettings]):
    """Total energy along dynamics, for every precision."""

    name = "nve"
    settings = NveSettings
    claim = Claim("less energy drift", "largest |drift|, meV/atom/ps", "drift_meV_atom_ps_.+", "model", over_rows=max)
    charts = (("energy conservation: failed runs", "failed_runs_float64"),)

    def measure(
        self, bench: Bench, settings: NveSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        atoms = bench.material.supercell(settings.min_cell_A)
        results = {}
        for label, forces in bench.dynamics.items():
            told = partial(progress, f"energy conservation {label}")
            folder = None if trajectories is None else trajectories / label
            results[label] = measure_nve(forces, atoms, settings, progress=told, trajectories=folder)
        if bench.reference_calculator is not None:
            told = partial(progress, "energy conservation of the reference")
            results["reference"] = measure_nve(bench.reference_calculator, atoms, settings, progress=told)
        return Measurement(results, asdict(settings))

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        results: dict[str, NveResult] = dict(measurement.results)
        reference = results.pop("reference", None)
        for label, result in results.items():
            for temperature in sorted({line.temperature_K for line in result.lines}):
                key = f"{temperature:g}K_{label}"
                for line, theirs in _drifts(result, reference, temperature):
                    yield Row(
                        f"drift_meV_atom_ps_{key}_{line.time_step_fs:g}fs",
                        f"drift {temperature:g} K, {line.time_step_fs:g} fs, {label}",
                        "meV/atom/ps",
                        line.drift_meV_atom_ps,
                        np.nan if theirs is None else theirs.drift_meV_atom_ps,
                        low=line.drift_low_meV_atom_ps,
                        high=line.drift_high_meV_atom_ps,
                        note=f"{line.time_step_fs:g} fs for {line.duration_ps:g} ps; a conservative surface has 0",
                    )
                scaling = next(item for item in result.scalings if item.temperature_K == temperature)
                note = f"residual {scaling.residual_meV_atom:.2g} meV/atom; smooth is 2"
                quantity = f"fluctuation exponent {temperature:g} K, {label}"
                exponent = scaling.fluctuation_exponent
                yield compared(f"fluctuation_exponent_{key}", quantity, "", exponent, 2.0, note=note)
            note = "; ".join([f"of {result.runs}", *sorted({item.kind for item in result.failures})])
            failed = float(result.failed_runs)
            yield compared(f"failed_runs_{label}", f"failed runs, {label}", "", failed, 0.0, note=note)

    def figure(self, measurement: Measurement) -> Figure:
        """Total energy against time, and fluctuation against time step."""
        results: dict[str, NveResult] = measurement.results
        label, first = next(iter(results.items()))
        temperatures = sorted({line.temperature_K for line in first.lines})
        figure, axes = panels(1, len(temperatures) + 1)
        for axis, temperature in zip(axes[0], temperatures, strict=False):
            here = [line for line in first.lines if line.temperature_K == temperature]
            for line, colour in zip(here, SERIES, strict=False):
                step = f"{line.time_step_fs:g} fs"
                axis.plot(line.time_ps, line.energy_change_meV_atom, color=colour, lw=0.9, label=step)
            axis.axhline(0.0, color="0.6", lw=0.8, zorder=0)
            axis.set(xlabel="time (ps)", ylabel="total energy change (meV/atom)", title=f"{temperature:g} K, {label}")
            axis.legend(ncols=2)
        _draw_fluctuations(axes[0, -1], results)
        return figure


def measure_nve(
    calculator: Forces | Calculator,
    atoms: Atoms,
    settings: NveSettings,
    *,
    progress: StepsDone | None = None,
    trajectories: Path | None = None,
) -> NveResult:
    """Drift and fluctuation of the total energy of ``atoms`` (a supercell near its minimum) under ``calculator``.

    progress is called with replica steps done and in all, from 0 for each of the two stages; trajectories: a folder for
    the NVE trajectories, 20 fs a frame, made if absent.
    """
    if trajectories is not None:
        trajectories.mkdir(parents=True, exist_ok=True)
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
    lines = [
        drift_line(
            {seed: runs.get((temperature, step, seed)) for seed in settings.seeds},
            temperature_K=temperature,
            time_step_fs=step,
            duration_ps=duration,
            window_ps=min(settings.durations_ps),
            block_records=round(settings.block_ps * 1e3 / settings.sample_interval_fs),
            bootstrap_samples=settings.bootstrap_samples,
        )
        for temperature, (step, duration) in product(
            settings.temperatures_K, zip(settings.time_steps_fs, settings.durations_ps, strict=True)
        )
    ]
    scalings = [drift_scaling(lines, temperature) for temperature in settings.temperatures_K]
    planned = len(states) * len(settings.time_steps_fs)
    failed = planned - sum(run.failure is None for run in runs.values())
    return NveResult(len(atoms), lines, scalings, failures, planned, failed, _notes(lines, failed, planned))


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
        trajectory_file=path,
    )


def _failure(failure: Failure, stage: str, temperature: float, step: float, seed: int) -> NveFailure:
    return NveFailure(stage, failure.kind, temperature, step, seed, failure.time_fs, failure.reason)


def _notes(lines: list[NveLine], failed: int, planned: int) -> list[str]:
    notes = [f"{failed} of {planned} runs failed; drift and fluctuation are of the others alone."] if failed else []
    notes += [
        f"No run at {line.temperature_K:g} K and {line.time_step_fs:g} fs lasted: nothing could be measured there."
        for line in lines
        if not line.seeds
    ]
    return notes


def _drifts(
    result: NveResult, reference: NveResult | None, temperature_K: float
) -> Iterator[tuple[NveLine, NveLine | None]]:
    """The longest run and, where it is another one, that with the largest step; each with the same of the reference."""
    here = {line.time_step_fs: line for line in result.lines if line.temperature_K == temperature_K}
    known = () if reference is None else reference.lines
    theirs = {line.time_step_fs: line for line in known if line.temperature_K == temperature_K}
    longest = max(here.values(), key=lambda line: line.duration_ps).time_step_fs
    for step in dict.fromkeys((longest, max(here))):
        yield here[step], theirs.get(step)


def _draw_fluctuations(axis: Axes, results: dict[str, NveResult]) -> None:
    from matplotlib.ticker import FormatStrFormatter, LogLocator

    points = []
    for (name, result), (marker, dashes) in zip(results.items(), _MARKS, strict=False):
        for temperature, colour in zip(sorted({line.temperature_K for line in result.lines}), SERIES, strict=False):
            here = [
                line for line in result.lines if line.temperature_K == temperature and line.fluctuation_meV_atom > 0
            ]
            steps, sizes = [line.time_step_fs for line in here], [line.fluctuation_meV_atom for line in here]
            points += list(zip(steps, sizes, strict=True))
            colour = REFERENCE if name == "reference" else colour
            style: dict[str, Any] = {"color": colour, "marker": marker, "ms": 5, "ls": dashes}
            style["mfc"] = colour if dashes == "-" else "none"
            axis.loglog(steps, sizes, label=f"{temperature:g} K, {name}", **style)
    if points:
        grid = np.array(sorted({step for step, _ in points}))
        lowest = min(points)[1]
        axis.loglog(grid, 0.6 * lowest * (grid / grid[0]) ** 2, color="0.6", ls="--", lw=1.0, label="∝ step²")
        axis.set_xticks(grid, [f"{step:g}" for step in grid])
        axis.xaxis.minorticks_off()
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.yaxis.minorticks_off()
    axis.set(xlabel="time step (fs)", ylabel="fluctuation (meV/atom)", title="fluctuation against step")
    axis.legend()
