"""All measures of one calculator, one after another; a measure that fails does not lose the others."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from scalarpath.artifacts.bench import Bench, liquid_of, supercell
from scalarpath.artifacts.measures.elastic import ElasticSettings, measure_elastic
from scalarpath.artifacts.measures.harmonic import HarmonicSettings, measure_harmonic
from scalarpath.artifacts.measures.nve import NveSettings, measure_nve
from scalarpath.artifacts.measures.phonons import PhononSettings, measure_phonons
from scalarpath.artifacts.measures.rdf import RdfSettings, measure_rdf
from scalarpath.artifacts.measures.rdf_comparison import compare_rdf
from scalarpath.artifacts.measures.repulsion import RepulsionSettings, measure_repulsion
from scalarpath.artifacts.measures.smoothness import SmoothnessSettings, measure_smoothness
from scalarpath.artifacts.measures.softening import softening_of_top_forces
from scalarpath.artifacts.table_rows import Row, rows_of

Report = Callable[[str, int, int], None]
"""Told what is being done, and how much of it is done and in all (0: not known)."""


@dataclass(frozen=True)
class SuiteSettings:
    """Settings of all measures; the material in them is replaced by that of the bench.

    nve_cell_A, rdf_cell_A: smallest edge of the supercells of the dynamics; liquid_temperature_K: None for the
    material's own (``LIQUIDS``), which replaces that of ``rdf``.
    """

    repulsion: RepulsionSettings = field(default_factory=RepulsionSettings)
    phonons: PhononSettings = field(default_factory=PhononSettings)
    harmonic: HarmonicSettings = field(default_factory=HarmonicSettings)
    elastic: ElasticSettings = field(default_factory=ElasticSettings)
    smoothness: SmoothnessSettings = field(default_factory=SmoothnessSettings)
    nve: NveSettings = field(default_factory=NveSettings)
    rdf: RdfSettings = field(default_factory=RdfSettings)
    nve_cell_A: float = 8.0
    rdf_cell_A: float = 13.5
    liquid_temperature_K: float | None = None


@dataclass(frozen=True)
class Measurement:
    """Result dataclasses of one measure by name (``model``, ``reference``, ``comparison``, ...) and their settings."""

    results: dict[str, Any]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of one measure.

    Attributes:
        measure: Its name.
        measurement: None where it was skipped or failed.
        rows: Of the table.
        skipped: Why it does not apply to the material, or empty.
        error: One line, or empty.
        details: Traceback of an error.
        wall_s: Time it took.
    """

    measure: str
    measurement: Measurement | None = None
    rows: list[Row] = field(default_factory=list)
    skipped: str = ""
    error: str = ""
    details: str = ""
    wall_s: float = 0.0


def run_suite(
    bench: Bench,
    settings: SuiteSettings,
    measures: Sequence[str],
    report: Report | None = None,
    trajectories: Path | None = None,
) -> Iterator[Outcome]:
    """Outcomes of the named measures (of ``MEASURES``), each as soon as it is there.

    report: told of the progress; trajectories: an existing folder that keeps those of the dynamics.
    """
    for name in measures:
        if name in NOT_FOR_MOLECULES and not bench.material.is_crystal:
            yield Outcome(name, skipped=f"{bench.material.name} is a molecule")
            continue
        started = time.perf_counter()
        try:
            measurement = MEASURES[name](bench, settings, report or _silent, trajectories)
            rows = rows_of(name, bench, measurement.results)
        except Exception as error:  # a foreign calculator may raise anything, and the other measures are still to come
            text = str(error).strip().splitlines() or [""]
            line = (
                text[0] if type(error).__module__ == "scalarpath.core.errors" else f"{type(error).__name__}: {text[0]}"
            )
            yield Outcome(name, error=line, details=traceback.format_exc(), wall_s=time.perf_counter() - started)
        else:
            yield Outcome(name, measurement, rows, wall_s=time.perf_counter() - started)


def _silent(_what: str, _done: int, _total: int) -> None:
    pass


def _repulsion(bench: Bench, settings: SuiteSettings, report: Report, _trajectories: Path | None) -> Measurement:
    report("repulsion", 0, 0)
    used = replace(settings.repulsion, material=bench.material.name, min_train_distance_A=bench.min_train_distance_A)
    results: dict[str, Any] = {"model": measure_repulsion(bench.calculator, used, bench.reference)}
    if bench.test_frames:
        report("largest test forces", 0, 0)
        results["top_forces"] = softening_of_top_forces(bench.calculator, bench.test_frames)
    return Measurement(results, asdict(used))


def _phonons(bench: Bench, settings: SuiteSettings, report: Report, _trajectories: Path | None) -> Measurement:
    report("phonons", 0, 0)
    if not bench.material.is_crystal:
        molecular = replace(settings.harmonic, material=bench.material.name)
        model = measure_harmonic(bench.calculator, molecular, bench.reference)
        return Measurement({"model": model}, asdict(molecular))
    used = replace(settings.phonons, material=bench.material.name)
    results = {"model": measure_phonons(bench.calculator, used, bench.reference)}
    if bench.reference_calculator is not None:
        results["reference"] = measure_phonons(bench.reference_calculator, used)
    return Measurement(results, asdict(used))


def _elastic(bench: Bench, settings: SuiteSettings, report: Report, _trajectories: Path | None) -> Measurement:
    report("elastic constants", 0, 0)
    used = replace(settings.elastic, material=bench.material.name)
    return Measurement({"model": measure_elastic(bench.calculator, used, bench.reference)}, asdict(used))


def _smoothness(bench: Bench, settings: SuiteSettings, report: Report, _trajectories: Path | None) -> Measurement:
    report("smoothness", 0, 0)
    used = replace(settings.smoothness, material=bench.material.name)
    return Measurement({"model": measure_smoothness(bench.calculator, used)}, asdict(used))


def _nve(bench: Bench, settings: SuiteSettings, report: Report, trajectories: Path | None) -> Measurement:
    atoms = supercell(bench.material, bench.material.lattice_constant_A, settings.nve_cell_A)
    results = {}
    for label, forces in bench.dynamics.items():
        folder = _folder(trajectories, label)
        progress = partial(report, f"energy conservation {label}")
        results[label] = measure_nve(forces, atoms, settings.nve, progress=progress, trajectories=folder)
    if bench.reference_calculator is not None:
        progress = partial(report, "energy conservation of the reference")
        results["reference"] = measure_nve(bench.reference_calculator, atoms, settings.nve, progress=progress)
    return Measurement(results, asdict(settings.nve) | {"min_cell_A": settings.nve_cell_A})


def _rdf(bench: Bench, settings: SuiteSettings, report: Report, trajectories: Path | None) -> Measurement:
    liquid = liquid_of(bench.material)
    used = replace(settings.rdf, temperature_K=settings.liquid_temperature_K or liquid.temperature_K)
    atoms = supercell(bench.material, liquid.lattice_constant_A, settings.rdf_cell_A)
    forces = next(iter(bench.dynamics.values()))
    folder = _folder(trajectories, "liquid")
    model = measure_rdf(forces, atoms, used, progress=partial(report, "liquid"), trajectories=folder)
    results: dict[str, Any] = {"model": model}
    if bench.reference_calculator is not None:
        progress = partial(report, "liquid of the reference")
        results["reference"] = measure_rdf(bench.reference_calculator, atoms, used, progress=progress)
        results["comparison"] = compare_rdf(model, results["reference"], used.bootstrap_samples)
    return Measurement(results, asdict(used) | {"min_cell_A": settings.rdf_cell_A})


def _folder(trajectories: Path | None, name: str) -> Path | None:
    if trajectories is None:
        return None
    folder = trajectories / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


MEASURES: dict[str, Callable[[Bench, SuiteSettings, Report, Path | None], Measurement]] = {
    "repulsion": _repulsion,
    "phonons": _phonons,
    "elastic": _elastic,
    "smoothness": _smoothness,
    "nve": _nve,
    "rdf": _rdf,
}
NOT_FOR_MOLECULES = ("elastic", "rdf")
