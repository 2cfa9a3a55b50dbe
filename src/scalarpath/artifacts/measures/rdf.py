"""Structure of the liquid: radial distribution functions of a thermostatted melt.

Where a model's short-range repulsion is too soft, atoms come closer than they should: g(r) rises too early.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.bench import Bench
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
from scalarpath.artifacts.measure import Claim, Curve, Measure, Measurement, Progress
from scalarpath.artifacts.measures.pair_distribution import (
    ONSET_LEVELS,
    TOTAL,
    PairStructure,
    count_pairs,
    ideal_counts,
    pair_labels,
    pair_structure,
)
from scalarpath.artifacts.measures.rdf_comparison import (
    DISTANCES,
    RdfComparison,
    RdfFailure,
    RdfResult,
    compare_rdf,
)
from scalarpath.artifacts.pair_search import heights
from scalarpath.artifacts.ranges import (
    Beyond,
    CellEdge,
    Friction,
    Samples,
    Temperature,
    TimeStep,
    refuse_empty_or_twice,
    refuse_endless,
)
from scalarpath.artifacts.rows import NO_REFERENCE, Row, compared
from scalarpath.core.errors import ArtifactError, ConfigError
from scalarpath.core.figures import MODEL, REFERENCE, legend, panels
from scalarpath.core.settings import NonNegative, Positive, Range, Whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROUNDING = 1e-6
MAX_FRAMES = 10**5
MAX_BINS = 10_000
TEMPERATURE_TOLERANCE = 0.1
LIQUID_DISPLACEMENT = 0.3  # of the first peak: root mean square that atoms of a liquid pass while it is sampled
# key of a row, what it shows, its change in a comparison, note
_LENGTHS = (
    ("onset_A_at_0.05", "onset, g = 0.05", "onset_shift_A_at_0.05", "negative: atoms come too close"),
    ("first_peak_A", "first peak", "first_peak_shift_A", ""),
)


@dataclass(frozen=True)
class RdfSettings:
    """The protocol: every seed is melted, brought to its temperature, then sampled for duration_ps.

    temperature_K: None for that of the material; melt_factor: melted at this times the temperature;
    snapshot_interval_fs: between frames; block_ps: of the bootstrap; limits of failure as in NveSettings; min_cell_A:
    smallest edge of the supercell, of which r_max_A is at most the half.
    """

    temperature_K: Temperature | None
    melt_factor: Annotated[float, Range(above=0.0, at_most=100.0)]
    melt_ps: NonNegative
    equilibrate_ps: NonNegative
    duration_ps: Positive
    time_step_fs: TimeStep
    friction_per_ps: Friction
    seeds: tuple[Whole, ...]
    snapshot_interval_fs: Positive
    bin_A: Positive
    r_max_A: Positive
    block_ps: Positive
    bootstrap_samples: Samples
    explosion_factor: Beyond
    evaporation_factor: Beyond
    min_cell_A: CellEdge

    def __post_init__(self) -> None:
        refuse_empty_or_twice("settings.rdf.seeds", self.seeds)
        for name in ("melt_ps", "equilibrate_ps", "duration_ps"):
            refuse_endless(f"settings.rdf.{name}", getattr(self, name), self.time_step_fs)
        refuse_endless("settings.rdf.duration_ps", self.duration_ps, self.snapshot_interval_fs, MAX_FRAMES)
        if self.snapshot_interval_fs < self.time_step_fs:
            raise ConfigError(
                f"settings.rdf.snapshot_interval_fs = {self.snapshot_interval_fs:g} is less than time_step_fs = "
                f"{self.time_step_fs:g}; raise it."
            )
        if self.r_max_A > self.min_cell_A / 2:
            raise ConfigError(
                f"settings.rdf.r_max_A = {self.r_max_A} is more than half of min_cell_A = {self.min_cell_A}; use a "
                "larger supercell or a smaller r_max_A."
            )
        if self.bin_A > self.r_max_A:
            raise ConfigError(f"settings.rdf.bin_A = {self.bin_A} is more than r_max_A = {self.r_max_A}; lower it.")
        if self.bin_A < self.r_max_A / MAX_BINS:
            raise ConfigError(
                f"settings.rdf.bin_A = {self.bin_A} makes more than {MAX_BINS} bins up to r_max_A = {self.r_max_A}; "
                "raise it."
            )
        if not self.snapshot_interval_fs <= self.block_ps * 1e3 <= self.duration_ps * 1e3 / 2:
            raise ConfigError(
                f"settings.rdf.block_ps = {self.block_ps} does not lie between snapshot_interval_fs and half of "
                f"duration_ps = {self.duration_ps}; change one of them."
            )


class LiquidStructure(Measure[RdfSettings]):
    """g(r) of the liquid."""

    name = "rdf"
    settings = RdfSettings
    for_molecules = False
    claim = Claim(
        "less over-approach in the liquid",
        "mean |shift of the onset|, Å",
        r"onset_A_at_0\.05_.+",
        "error",
        over_rows=np.mean,
    )
    charts = (("liquid: failed runs", "failed_liquids"),)

    def unsuitable(self, bench: Bench, settings: RdfSettings) -> str:
        """See ``Measure``."""
        if reason := super().unsuitable(bench, settings):
            return reason
        if bench.material.liquid is None and settings.temperature_K is None:
            return "at which temperature it is molten is not known; set settings.rdf.temperature_K"
        return ""

    def measure(
        self, bench: Bench, settings: RdfSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        liquid = bench.material.liquid
        known = (None, None) if liquid is None else (liquid.temperature_K, liquid.lattice_constant_A)
        used = replace(settings, temperature_K=settings.temperature_K or known[0])
        atoms = bench.material.supercell(settings.min_cell_A, known[1])  # of one's own: at the density of the file
        forces = next(iter(bench.dynamics.values()))
        folder = None if trajectories is None else trajectories / "liquid"
        model = measure_rdf(forces, atoms, used, progress=partial(progress, "liquid"), trajectories=folder)
        results: dict[str, Any] = {"model": model}
        if bench.reference_calculator is not None:
            told = partial(progress, "liquid of the reference")
            results["reference"] = measure_rdf(bench.reference_calculator, atoms, used, progress=told)
            results["comparison"] = compare_rdf(model, results["reference"], used.bootstrap_samples)
        return Measurement(results, asdict(used))

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        model: RdfResult = measurement.results["model"]
        reference: RdfResult | None = measurement.results.get("reference")
        comparison: RdfComparison | None = measurement.results.get("comparison")
        for label, pair in model.pairs.items():
            if label != TOTAL and len(set(label.split("-"))) == 1:
                continue  # like ions are in the figure and in the file
            for name, quantity, change, remark in _LENGTHS:
                expected, (low, high), note = np.nan, pair.intervals[name], NO_REFERENCE
                if reference is not None and comparison is not None and label in comparison.differences:
                    expected, note = reference.pairs[label].measures[name], remark
                    low, high = comparison.intervals[label][change]
                key, shown = f"{name}_{label}", f"{label} {quantity}"
                yield compared(key, shown, "Å", pair.measures[name], expected, low=low, high=high, note=note)
            if comparison is not None and label in comparison.differences:
                yield from _distances(label, comparison)
        expected = np.nan if reference is None else reference.minimum_distance_A
        note = " ".join(note for note in model.notes if "liquid" in note or " K;" in note)
        yield compared("minimum_distance_A", "closest pair seen", "Å", model.minimum_distance_A, expected, note=note)
        failed, kinds = len(model.failures), ", ".join(sorted({item.kind for item in model.failures}))
        note = f"of {failed + len(model.seeds)} liquids" + (f": {kinds}" if kinds else "")
        yield compared("failed_liquids", "failed liquids", "", float(failed), 0.0, note=note)

    def figure(self, measurement: Measurement) -> Figure | None:
        """g(r) of every kind of pair, with the onset at the middle level marked."""
        model: RdfResult = measurement.results["model"]
        reference: RdfResult | None = measurement.results.get("reference")
        if not model.pairs:
            return None
        figure, axes = panels(1, len(model.pairs))
        for axis, label in zip(axes[0], model.pairs, strict=True):
            known = [("reference", reference, REFERENCE)] if reference is not None and label in reference.pairs else []
            for name, liquid, colour in [*known, ("model", model, MODEL)]:
                pair = liquid.pairs[label]
                axis.plot(liquid.r_A, pair.g, color=colour, label=name)
                onset = pair.measures[f"onset_A_at_{ONSET_LEVELS[1]}"]
                axis.plot([onset], [0.0], "^", ms=6, color=colour, clip_on=False, label=f"{name} onset")
            axis.axhline(1.0, color="0.85", lw=0.8, zorder=0)
            axis.set(title=label, xlabel="r (Å)", xlim=(0.5 * _first_count(model), None), ylim=(0.0, None))
        axes[0, 0].set(ylabel=f"g(r) at {model.temperature_K:g} K")
        legend(figure, axes, columns=min(4, 2 * len(model.pairs)))
        return figure

    def curves(self, results: Mapping[str, Any]) -> Iterator[Curve]:
        """g(r) of every kind of pair; none of a liquid that failed."""
        for name in ("reference", "model"):
            liquid = results.get(name) or {"pairs": {}}
            for label, pair in liquid["pairs"].items():
                r, g = (np.array(values, float) for values in (liquid["r_A"], pair["g"]))
                seen = r > r[np.argmax(g > 0)] - 0.1  # what is nearer is empty
                yield Curve(f"liquid, {label}", "r (Å)", "g(r)", r[seen], g[seen], name == "reference")


def _distances(label: str, comparison: RdfComparison) -> Iterator[Row]:
    shown = {"g_mae": ("MAE of g(r)", ""), "wasserstein_A": ("Wasserstein-1", "Å")}
    for name in DISTANCES:
        value, (low, high) = comparison.differences[label][name], comparison.intervals[label][name]
        note = f"noise floor {comparison.floors[label][name]:.2g}"
        quantity, unit = shown[name]
        yield Row(f"{name}_{label}", f"{label} {quantity}", unit, value, low=low, high=high, note=note)


def _first_count(result: RdfResult) -> float:
    return min(r for pair in result.pairs.values() for r, g in zip(result.r_A, pair.g, strict=True) if g > 0)


def measure_rdf(
    calculator: Forces | Calculator,
    atoms: Atoms,
    settings: RdfSettings,
    *,
    progress: StepsDone | None = None,
    trajectories: Path | None = None,
) -> RdfResult:
    """Radial distribution functions of the liquid that ``atoms``, a supercell at its density, becomes.

    progress is called with replica steps done and in all, from 0 for each of the three stages; trajectories: a folder
    for the sampled frames, made if absent. Raises ArtifactError for a cell that is not periodic or too small for
    r_max_A.
    """
    if trajectories is not None:
        trajectories.mkdir(parents=True, exist_ok=True)
    temperature = settings.temperature_K
    if temperature is None:
        raise ArtifactError("the temperature of this liquid is not known; set settings.rdf.temperature_K.")
    edges = _edges(atoms, settings)
    forces, failures = as_forces(calculator), []
    living = {seed: atoms.copy() for seed in settings.seeds}
    for seed, start in living.items():
        start.set_momenta(thermal_momenta(start, settings.melt_factor * temperature, seed))
    runs: dict[int, Trajectory] = {}
    for number, stage in enumerate(_stages(settings, temperature)):
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
    return _result(atoms, settings, temperature, edges, runs, failures)


def _edges(atoms: Atoms, settings: RdfSettings) -> np.ndarray:
    """Bin edges from 0 to r_max_A, [bins + 1]. Raises ArtifactError for an unsuitable cell."""
    if not atoms.pbc.all():
        raise ArtifactError("the liquid needs a cell that is periodic in all directions; set pbc and a cell.")
    height = heights(atoms).min()
    if settings.r_max_A > (1 + _ROUNDING) * height / 2:
        raise ArtifactError(
            f"r_max_A = {settings.r_max_A} is more than half the height of the cell, {height / 2:.2f} Å; "
            "use a larger supercell or a smaller r_max_A."
        )
    return settings.bin_A * np.arange(round(settings.r_max_A / settings.bin_A) + 1)


class _Stage(NamedTuple):
    name: str
    temperature_K: float
    duration_ps: float


def _stages(settings: RdfSettings, temperature_K: float) -> list[_Stage]:
    stages = [
        _Stage("melt", settings.melt_factor * temperature_K, settings.melt_ps),
        _Stage("equilibrate", temperature_K, settings.equilibrate_ps),
        _Stage("sample", temperature_K, settings.duration_ps),
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
        trajectory_file=trajectories / f"liquid_seed{seed}.extxyz" if trajectories is not None and sampling else None,
    )


def _result(
    atoms: Atoms,
    settings: RdfSettings,
    temperature_K: float,
    edges: np.ndarray,
    runs: dict[int, Trajectory],
    failures: list[RdfFailure],
) -> RdfResult:
    lasting = {seed: run for seed, run in runs.items() if run.failure is None}
    r = (edges[1:] + edges[:-1]) / 2
    block = round(settings.block_ps * 1e3 / settings.snapshot_interval_fs)
    pairs, diffusion = {}, np.nan
    if lasting:
        counts = np.concatenate([_block_counts(atoms, run, edges, block) for run in lasting.values()])
        ideal = ideal_counts(atoms, edges)
        pairs = {
            label: pair_structure(r, counts[:, k], ideal[k], block, settings.bootstrap_samples)
            for k, label in enumerate(pair_labels(atoms))
        }
        diffusion = float(np.mean([square_displacement(run) for run in lasting.values()])) / (6 * settings.duration_ps)
    kinetic = [run.kinetic_energy_eV.mean() * 2 / (3 * len(atoms) * units.kB) for run in lasting.values()]
    mean_temperature = float(np.mean(kinetic)) if kinetic else np.nan
    return RdfResult(
        atoms=len(atoms),
        density_atoms_A3=len(atoms) / float(atoms.get_volume()),
        temperature_K=temperature_K,
        mean_temperature_K=mean_temperature,
        minimum_distance_A=smallest_distance(runs.values()),
        diffusion_A2_ps=diffusion,
        r_A=r.tolist(),
        block_frames=block,
        pairs=pairs,
        seeds=list(lasting),
        failures=failures,
        failure_fraction=1 - len(lasting) / len(settings.seeds),
        notes=_notes(settings, temperature_K, pairs, diffusion, mean_temperature, len(lasting)),
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


def _notes(
    settings: RdfSettings,
    temperature_K: float,
    pairs: dict[str, PairStructure],
    diffusion: float,
    mean_temperature: float,
    lasting: int,
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
    if abs(mean_temperature / temperature_K - 1) > TEMPERATURE_TOLERANCE:
        notes.append(f"It was {mean_temperature:.0f}, not {temperature_K:g} K; equilibrate for longer.")
    return notes
