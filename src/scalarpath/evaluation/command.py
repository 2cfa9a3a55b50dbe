"""What ``evaluate.py`` does, and what ``train.py`` does with ``artifacts=smoke``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from scalarpath.artifacts.bench import Bench, Subject, bench_name, bench_of_training, bench_reference
from scalarpath.artifacts.registry import MEASURES, measure_settings, preset
from scalarpath.artifacts.suite import Outcome
from scalarpath.core.errors import ArtifactError
from scalarpath.core.files import write_json
from scalarpath.core.terminal import open_console
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.evaluation.benches import bench_of_calculator, bench_of_potential, subject_of
from scalarpath.evaluation.calibration import calibrate, read_members
from scalarpath.evaluation.explanation import explain
from scalarpath.evaluation.finished_run import FinishedRun, run_identity
from scalarpath.evaluation.other_frames import evaluate_frames
from scalarpath.evaluation.output import (
    FOLDER,
    flat_summary,
    measure_and_write,
    prepare_folder,
    refuse_foreign_files,
    written,
)
from scalarpath.evaluation.settings import EvaluationSettings
from scalarpath.potential import Potential
from scalarpath.runs.job import Job
from scalarpath.runs.provenance import git_revision, versions
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.loggers import build_loggers, finish_loggers, log_figures
from scalarpath.training.summary import error_table

TRAINING_DTYPES = ("float64", "float32")
TEST_ERRORS = "test_errors.json"


def run(settings: EvaluationSettings) -> list[Outcome]:
    """Measure what ``settings`` (conf/evaluate.yaml) ask for; returns what became of every measure.

    Raises a ScalarPathError for anything the user can mend; ArtifactError, after all is written, where a measure
    failed.
    """
    torch.set_num_threads(settings.threads)
    if settings.run is not None:
        outcomes = _evaluate_run(settings, settings.run)
    else:  # the settings have been checked: both are there
        outcomes = _evaluate_calculator(settings, str(settings.calculator))
    bad = [outcome.name for outcome in outcomes if outcome.error]
    if bad:
        raise ArtifactError(f"{len(bad)} of {len(outcomes)} measures failed: {', '.join(bad)}; the others are written.")
    return outcomes


def measure_trained(
    potential: Potential,
    data: AtomicDataModule,
    job: Job,
    directory: RunDirectory,
    summary: Mapping[str, Any],
    loggers: list[Logger],
) -> dict[str, Any]:
    """The artifacts of a potential at the end of its training; returns flat numbers for its ``summary``.

    A measure that fails is named under ``artifact/failed`` and does not end the run. Those of test frames are left out
    where the job keeps its test part closed.
    """
    config = job.config
    bench = bench_of_potential(
        potential,
        bench_reference(bench_of_training(config)),
        TRAINING_DTYPES,
        potential.device,
        data.train_graphs,
        data.test_graphs if job.evaluate_test else (),
    )
    header = _versions() | {"calculator": run_identity(directory, summary), "size": config["artifacts"]}
    settings = measure_settings(preset(config["artifacts"]), list(MEASURES))
    outcomes = measure_and_write(bench, settings, list(MEASURES), directory.path, header)
    log_figures(loggers, _figures(outcomes, directory.path))
    return flat_summary(outcomes)


def _evaluate_run(settings: EvaluationSettings, run_path: str) -> list[Outcome]:
    given = _subject(settings)
    found = FinishedRun.load(run_path, settings.device, settings.trust, settings.changes)
    # the others come in place of artifacts
    measures = settings.artifact if settings.frames is None and settings.committee is None else []
    if given is None and measures and (name := bench_name(found.job.config["data"])) is not None:
        given = _subject(replace(settings, material=name))
    directory = Path(settings.output_dir) if settings.output_dir is not None else found.directory.path
    if settings.explain:
        beside = settings.beside
        other = None if beside is None else FinishedRun.load(beside, settings.device, settings.trust)
        figure = explain(found, other, given and given.material, settings.dtypes[0], directory / FOLDER)
        if settings.output_dir is None:
            _log(found, {}, [figure])
        return []
    if settings.frames is not None:
        evaluate_frames(found, settings.frames, settings.data, directory / FOLDER)
        return []
    others = read_members(found, settings.committee, settings.device, directory / FOLDER) if settings.committee else []
    refuse_foreign_files(directory / FOLDER, measures)
    prepare_folder(directory / FOLDER)
    data = found.read_data()
    was_closed = found.is_closed
    errors = found.errors(data)
    write_json(directory / FOLDER / TEST_ERRORS, {**found.identity(), **errors})
    console = open_console()
    console.print(error_table({**found.summary, **errors}))
    if was_closed:
        place = found.directory.path
        said = f"The test part is open now: test errors are in summary.json of {place}, the time in provenance.json."
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        _log(found, errors, [])
    if others:
        calibrate(found, others, data.test_dataloader(), directory / FOLDER)
    if not measures:
        return []
    if given is None:
        console.print(
            f"No artifacts: the data set '{found.job.config['data'].get('name')}' belongs to no material of the bench. "
            "With structure=, for example structure=crystal.cif, or material=, for example material=si, they are "
            "measured on that."
        )
        return []
    bench = bench_of_potential(
        found.potential,
        given,
        settings.dtypes,
        settings.device,
        data.train_graphs,
        data.test_graphs,
    )
    outcomes = _measure(bench, settings, directory, found.identity())
    if settings.output_dir is None:
        _log(found, flat_summary(outcomes), _figures(outcomes, directory))
    return outcomes


def _log(found: FinishedRun, numbers: Mapping[str, Any], figures: list[Path]) -> None:
    """Add to the W&B run, where the training has made one."""
    if found.job.logger.wandb is not None:
        loggers = build_loggers(found.job.logger, found.directory, found.job.config)
        log_figures(loggers, figures)
        finish_loggers(loggers, numbers)


def _subject(settings: EvaluationSettings) -> Subject | None:
    """What is asked for; None where neither material nor structure is."""
    if settings.material is None and settings.structure is None:
        return None
    return subject_of(settings.material, settings.structure, settings.reference, settings.reference_options)


def _evaluate_calculator(settings: EvaluationSettings, calculator: str) -> list[Outcome]:
    options = settings.calculator_options or {}
    subject = subject_of(settings.material, settings.structure, settings.reference, settings.reference_options)
    bench = bench_of_calculator(calculator, options, subject)
    module_name, _, factory = calculator.partition(":")
    given = settings.output_dir
    directory = Path(
        given if given is not None else f"outputs/evaluate/{factory}_{settings.material or bench.material.name}"
    )
    refuse_foreign_files(directory / FOLDER, settings.artifact)
    prepare_folder(directory / FOLDER)
    distributions = packages_distributions().get(module_name.split(".")[0], [])
    what = {
        "factory": calculator,
        "options": options,
        "packages": {name: version(name) for name in distributions},
    }
    return _measure(bench, settings, directory, what)


def _measure(bench: Bench, settings: EvaluationSettings, directory: Path, what: dict[str, Any]) -> list[Outcome]:
    return measure_and_write(
        bench,
        settings.settings,
        settings.artifact,
        directory,
        _versions() | {"calculator": what},
        keep_trajectories=settings.keep_trajectories,
    )


def _versions() -> dict[str, Any]:
    return {"versions": versions(), "git": git_revision()}


def _figures(outcomes: list[Outcome], directory: Path) -> list[Path]:
    return [path for path in written(outcomes, directory / FOLDER) if path.suffix == ".png"]
