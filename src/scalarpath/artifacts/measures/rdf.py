"""Structure of the liquid: radial distribution functions of a thermostatted melt.

Where a model's short-range repulsion is too soft, atoms come closer than they should: g(r) rises too early.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.bootstrap import block_resamples, interval
from scalarpath.artifacts.dynamics import (
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
)
from scalarpath.artifacts.measures.pair_distribution import (
    MIN_COUNTS,
    TOTAL,
    count_pairs,
    ideal_counts,
    pair_labels,
    structure_measures,
)
from scalarpath.core.errors import ArtifactError

TEMPERATURE_TOLERANCE = 0.1
LIQUID_DISPLACEMENT = 0.3  # of the first peak: root mean square that atoms of a liquid pass while it is sampled


@dataclass(frozen=True)
class RdfSettings:
    """Protocol; the defaults are the full preset.

    Every seed is melted at melt_factor times temperature_K, brought to temperature_K, then sampled for duration_ps, one
    frame every snapshot_interval_fs. block_ps: of the bootstrap; limits of failure as in NveSettings.
    """

    temperature_K: float = 1400.0
    melt_factor: float = 2.5
    melt_ps: float = 5.0
    equilibrate_ps: float = 5.0
    duration_ps: float = 50.0
    time_step_fs: float = 1.0
    friction_per_ps: float = 5.0
    seeds: tuple[int, ...] = (0, 1)
    snapshot_interval_fs: float = 25.0
    bin_A: float = 0.02
    r_max_A: float = 6.0
    block_ps: float = 5.0
    bootstrap_samples: int = 500
    explosion_factor: float = 10.0
    evaporation_factor: float = 2.5

    @classmethod
    def smoke(cls) -> RdfSettings:
        """About 400 steps: enough to see a liquid that collapses or flies apart."""
        return cls(
            melt_ps=0.24,
            equilibrate_ps=0.16,
            duration_ps=0.4,
            time_step_fs=2.0,
            friction_per_ps=20.0,
            seeds=(0,),
            snapshot_interval_fs=10.0,
            bin_A=0.05,
            r_max_A=4.0,
            block_ps=0.1,
            bootstrap_samples=200,
        )


@dataclass(frozen=True)
class PairStructure:
    """g(r) of one kind of pair, what ``structure_measures`` reads from it, with 95 % intervals [low, high].

    ideal_counts: [bins] of one frame; block_counts: [blocks][bins] of all frames of a block, from which intervals come.
    """

    g: list[float]
    measures: dict[str, float]
    intervals: dict[str, list[float]]
    ideal_counts: list[float]
    block_counts: list[list[int]]


@dataclass(frozen=True)
class RdfFailure:
    """A replica that failed while it was melted, equilibrated or sampled, and when within that stage."""

    stage: str
    kind: str
    seed: int
    time_fs: float
    reason: str


@dataclass(frozen=True)
class RdfResult:
    """Liquid structure over the seeds that did not fail; pairs: by label (``total``, ``Li-F``), empty where all failed.

    r_A: bin centres; block_frames: frames in a block; diffusion_A2_ps: mean square displacement while sampled, less
    that of the centre of mass, over six times the duration.
    """

    atoms: int
    density_atoms_A3: float
    temperature_K: float
    mean_temperature_K: float
    minimum_distance_A: float
    diffusion_A2_ps: float
    r_A: list[float]
    block_frames: int
    pairs: dict[str, PairStructure]
    seeds: list[int]
    failures: list[RdfFailure]
    failure_fraction: float
    notes: list[str]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RdfResult:
        """The inverse of ``dataclasses.asdict``, for references stored as JSON."""
        pairs = {label: PairStructure(**pair) for label, pair in data["pairs"].items()}
        return cls(**{**data, "pairs": pairs, "failures": [RdfFailure(**failure) for failure in data["failures"]]})


def measure_rdf(
    calculator: Forces | Calculator,
    atoms: Atoms,
    settings: RdfSettings | None = None,
    *,
    progress: StepsDone | None = None,
    trajectories: Path | None = None,
) -> RdfResult:
    """Radial distribution functions of the liquid that ``atoms``, a supercell at its density, becomes.

    progress is called with replica steps done and in all, from 0 for each of the three stages; trajectories: an
    existing folder for the sampled frames. Raises ArtifactError for a cell that is not periodic or too small for
    r_max_A, and for settings that contradict each other.
    """
    settings = settings or RdfSettings()
    edges = _edges(atoms, settings)
    forces, failures = as_forces(calculator), []
    living = {seed: atoms.copy() for seed in settings.seeds}
    for seed, start in living.items():
        start.set_momenta(thermal_momenta(start, settings.melt_factor * settings.temperature_K, seed))
    runs: dict[int, Trajectory] = {}
    for number, stage in enumerate(_stages(settings)):
        replicas = [
            _replica(atoms, start, settings, stage, number, seed, trajectories) for seed, start in living.items()
        ]
        runs = dict(zip(living, run_dynamics(replicas, forces, progress), strict=True))
        failures += [
            RdfFailure(stage.name, run.failure.kind, seed, run.failure.time_fs, run.failure.reason)
            for seed, run in runs.items()
            if run.failure is not None
        ]
        living = {seed: run.atoms for seed, run in runs.items() if run.failure is None}
    return _result(atoms, settings, edges, runs, failures)


def _edges(atoms: Atoms, settings: RdfSettings) -> np.ndarray:
    """Bin edges from 0 to r_max_A, [bins + 1]; refuses what cannot be measured."""
    if not atoms.pbc.all():
        raise ArtifactError("the liquid needs a cell that is periodic in all directions; set pbc and a cell.")
    height = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1).max()
    if settings.r_max_A > height / 2:
        raise ArtifactError(
            f"r_max_A = {settings.r_max_A} is more than half the height of the cell, {height / 2:.2f} Å; "
            "use a larger supercell or a smaller r_max_A."
        )
    if not settings.snapshot_interval_fs <= settings.block_ps * 1e3 <= settings.duration_ps * 1e3 / 2:
        raise ArtifactError(
            f"block_ps = {settings.block_ps} does not lie between snapshot_interval_fs and half of duration_ps = "
            f"{settings.duration_ps}; change one of them."
        )
    return settings.bin_A * np.arange(round(settings.r_max_A / settings.bin_A) + 1)


class _Stage(NamedTuple):
    name: str
    temperature_K: float
    duration_ps: float


def _stages(settings: RdfSettings) -> list[_Stage]:
    stages = [
        _Stage("melt", settings.melt_factor * settings.temperature_K, settings.melt_ps),
        _Stage("equilibrate", settings.temperature_K, settings.equilibrate_ps),
        _Stage("sample", settings.temperature_K, settings.duration_ps),
    ]
    return [stage for stage in stages if stage.duration_ps > 0]


def _replica(
    atoms: Atoms, start: Atoms, settings: RdfSettings, stage: _Stage, number: int, seed: int, trajectories: Path | None
) -> Replica:
    sampling = stage.name == "sample"
    return Replica(
        start,
        settings.time_step_fs,
        max(1, round(stage.duration_ps * 1e3 / settings.time_step_fs)),
        limits_for(atoms, stage.temperature_K, settings.explosion_factor, settings.evaporation_factor),
        Thermostat(stage.temperature_K, settings.friction_per_ps, seed, number),
        snapshot_every=max(1, round(settings.snapshot_interval_fs / settings.time_step_fs)) if sampling else 0,
        trajectory=trajectories / f"liquid_seed{seed}.extxyz" if trajectories is not None and sampling else None,
    )


def _result(
    atoms: Atoms, settings: RdfSettings, edges: np.ndarray, runs: dict[int, Trajectory], failures: list[RdfFailure]
) -> RdfResult:
    lasting = {seed: run for seed, run in runs.items() if run.failure is None}
    r = (edges[1:] + edges[:-1]) / 2
    block = round(settings.block_ps * 1e3 / settings.snapshot_interval_fs)
    pairs, diffusion = {}, np.nan
    if lasting:
        counts = np.concatenate([_block_counts(atoms, run, edges, block) for run in lasting.values()])
        ideal = ideal_counts(atoms, edges)
        pairs = {
            label: _pair_structure(r, counts[:, k], ideal[k], block, settings.bootstrap_samples)
            for k, label in enumerate(pair_labels(atoms))
        }
        diffusion = float(np.mean([square_displacement(run) for run in lasting.values()])) / (6 * settings.duration_ps)
    kinetic = [run.kinetic_energy_eV.mean() * 2 / (3 * len(atoms) * units.kB) for run in lasting.values()]
    mean_temperature = float(np.mean(kinetic)) if kinetic else np.nan
    return RdfResult(
        atoms=len(atoms),
        density_atoms_A3=len(atoms) / float(atoms.get_volume()),
        temperature_K=settings.temperature_K,
        mean_temperature_K=mean_temperature,
        minimum_distance_A=smallest_distance(runs.values()),
        diffusion_A2_ps=diffusion,
        r_A=r.tolist(),
        block_frames=block,
        pairs=pairs,
        seeds=list(lasting),
        failures=failures,
        failure_fraction=1 - len(lasting) / len(settings.seeds),
        notes=_notes(settings, pairs, diffusion, mean_temperature, len(lasting)),
    )


def _block_counts(atoms: Atoms, run: Trajectory, edges: np.ndarray, block: int) -> np.ndarray:
    """[blocks, labels, bins], without the first frame (the end of the stage before) and an incomplete last block."""
    frame, counts = atoms.copy(), []
    for positions in run.snapshots_A[1:]:
        frame.positions = positions
        counts.append(count_pairs(frame, edges))
    whole = len(counts) // block * block
    return np.array(counts[:whole]).reshape(-1, block, *counts[0].shape).sum(axis=1)


def square_displacement(run: Trajectory) -> float:
    """Mean over atoms of the squared way from the first to the last snapshot, less that of the centre of mass, Å^2."""
    moved = run.snapshots_A[-1] - run.snapshots_A[0]
    moved = moved - np.average(moved, axis=0, weights=run.atoms.get_masses())
    return float((moved**2).sum(axis=1).mean())


def _pair_structure(r: np.ndarray, counts: np.ndarray, ideal: np.ndarray, block: int, samples: int) -> PairStructure:
    resolved = MIN_COUNTS / (ideal * block * len(counts))

    def measure(rows: np.ndarray) -> dict[str, float]:
        return structure_measures(r, rows.mean(axis=0) / (ideal * block), resolved)

    values = block_resamples(lambda rows: np.array(list(measure(rows).values())), counts, 1, samples, seed=0)
    measures = measure(counts)
    intervals = {name: list(interval(column)) for name, column in zip(measures, values.T, strict=True)}
    g = counts.mean(axis=0) / (ideal * block)
    return PairStructure(g.tolist(), measures, intervals, ideal.tolist(), counts.tolist())


def _notes(
    settings: RdfSettings, pairs: dict[str, PairStructure], diffusion: float, mean_temperature: float, lasting: int
) -> list[str]:
    seeds, displacement = len(settings.seeds), np.sqrt(6 * diffusion * settings.duration_ps)
    notes = (
        [f"{seeds - lasting} of {seeds} replicas failed; everything else is of the others."] if lasting < seeds else []
    )
    for label, pair in pairs.items():
        if missing := [name for name, value in pair.measures.items() if np.isnan(value)]:
            notes.append(f"{label}: too few frames, or no such feature within r_max_A, for {', '.join(missing)}.")
    if pairs and displacement < LIQUID_DISPLACEMENT * pairs[TOTAL].measures["first_peak_A"]:
        notes.append(f"Atoms moved {displacement:.2f} Å (root mean square) while sampled: this may be no liquid.")
    if abs(mean_temperature / settings.temperature_K - 1) > TEMPERATURE_TOLERANCE:
        notes.append(f"It was {mean_temperature:.0f}, not {settings.temperature_K:g} K; equilibrate for longer.")
    return notes
