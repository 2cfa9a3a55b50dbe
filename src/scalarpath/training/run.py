"""One training job from configuration to summary.json."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers
from omegaconf import OmegaConf

from scalarpath.core.errors import ConfigError, DataError, TrainingError
from scalarpath.core.imports import names_from_file
from scalarpath.core.stopwatch import phase
from scalarpath.core.terminal import open_console
from scalarpath.cost.timing import head_overhead, step_flops
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.heads.linear_fit import MOST_FRAMES, LinearFit
from scalarpath.potential import (
    Potential,
    build_potential,
    check_settings,
    load_potential,
    potential_config,
    read_checkpoint,
)
from scalarpath.potential.parts import freeze
from scalarpath.runs.continuation import changed_files, check_unchanged, notes
from scalarpath.runs.job import Job, stored_config
from scalarpath.runs.processes import shared_directory
from scalarpath.runs.provenance import provenance
from scalarpath.runs.ranks import is_first_process
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.callbacks.checkpoints import LAST
from scalarpath.training.checks import check_accelerator, check_cores
from scalarpath.training.deciding_frame import FrameLosses, deciding_frame, frame_losses
from scalarpath.training.evaluation import errors_by_part
from scalarpath.training.fit import FitResult, fit
from scalarpath.training.frame_errors import FrameErrors
from scalarpath.training.launch import check_launch
from scalarpath.training.loggers import build_loggers, finish_loggers, log_figures
from scalarpath.training.losses import WeightedLoss
from scalarpath.training.record import figure_files, flat, groups_table, recording
from scalarpath.training.start import kept_elements, start
from scalarpath.training.summary import build_summary, print_summary

OF_MOLECULES = (
    "All train frames are molecules. There a linear potential has raised the errors of forces "
    "(docs/evidence-linear.md#why); compare with head=baseline."
)


def run(job: Job, *, resume: Path | None = None, trust: Collection[str] = (), unnamed: bool = False) -> dict[str, Any]:
    """Train, test and describe one potential as ``job`` says; returns the content of summary.json.

    ``resume``: the directory of the unfinished run that ``job`` was read from, to continue it; ``trust``: the packages
    of others that its settings may name; ``unnamed``: nobody has chosen ``output_dir``, see ``shared_directory``.
    Processes of a distributed job other than the first return an empty dictionary after training. Raises a
    ScalarPathError for anything the user can mend; a run that fails before the end of its first epoch leaves no
    directory behind.
    """
    with nullcontext() if resume is None else names_from_file(resume / "config.yaml", trust):
        return _run(job, resume, unnamed)


def _run(job: Job, resume: Path | None, unnamed: bool) -> dict[str, Any]:
    started = time.perf_counter()
    phase("settings")
    check_cores(job.trainer)
    check_launch(job.trainer)
    if job.artifacts is not None:
        from scalarpath.artifacts.bench import bench_of_training
        from scalarpath.evaluation.command import measure_trained  # here: others need no phonopy

        bench_of_training(job.config)
    configuration = partial(
        potential_config, backbone=job.backbone, head=job.head, dtype=job.dtype, repulsion=job.repulsion
    )
    check_accelerator(job.trainer)
    check_settings(configuration([]), job.frozen or ())  # before the data are read, which may take minutes
    if job.data.weights is not None and job.head.get("linear") is not None:
        raise ConfigError("head.linear is fitted to all frames alike; leave data.weights out, or use another head.")
    # a run that goes on has its own weights
    source = load_potential(job.init_from) if job.init_from is not None and resume is None else None
    before = job.trainer.max_epochs if resume is None else stored_config(resume)["trainer"]["max_epochs"]
    more_epochs = job.trainer.max_epochs > before
    with shared_directory(
        resume or Path(job.output_dir),
        resume=resume is not None,
        more_epochs=more_epochs,
        unnamed=unnamed and resume is None,
    ) as directory:
        if resume is not None and is_first_process():
            check_unchanged(directory)
        config = job.data if resume is None else job.data.accepted()
        phase("data")
        data = AtomicDataModule(
            config,
            cutoff=job.cutoff,
            seed=job.seed,
            required=job.loss.required,
            own_e0s=job.init_from is not None,
            charged=job.charged,
        )
        data.setup()
        job.check_monitors(data.labelled)
        phase("model")
        species = _species(data, source, job, directory)
        potential = build_potential(configuration(species), seed=job.seed, neighbours=data.statistics.avg_num_neighbors)
        linear = _prepare(potential, data, job, resume=resume is not None)
        origin = None if source is None else start(potential, source, data, job)
        freeze(potential.parts(), job.frozen or ())
        phase("run directory")
        loggers = []
        if is_first_process():
            _describe(directory, job, data, linear, origin, resume=resume is not None)
            for note in notes(job, before) if more_epochs else ():
                open_console().print(note, highlight=False)
            loggers = build_loggers(job.logger, directory, job.config)
        phase("fit")
        try:
            result = fit(potential, data, job, directory, loggers, resume=resume is not None)
            if not is_first_process():
                return {}
            phase("test")
            summary, by_group = _tested(job, potential, data, directory, result)
            log_figures(loggers, figure_files(directory.path))
            if job.artifacts is not None:
                summary |= measure_trained(potential, data, job, directory, summary, loggers)
            summary["time/wall_s"] = time.perf_counter() - started
        except BaseException:
            finish_loggers(loggers, None)
            raise
        directory.finish(summary)  # first, so that W&B can take nothing from it
        finish_loggers(loggers, summary | flat(by_group))
    print_summary(summary, directory, groups_table(by_group), evaluate_test=job.evaluate_test)
    return summary


def _species(data: AtomicDataModule, source: Potential | None, job: Job, directory: RunDirectory) -> list[int]:
    """Atomic numbers that the potential knows: those of the data, and what it keeps of the file that it starts from."""
    if source is not None:
        return kept_elements(source, job, data.species)
    if job.init_from is None:
        return data.species
    started = directory.read_json("provenance.json")["init_from"]  # a run that goes on, whose file may be gone
    return sorted({*data.species, *(atomic_numbers[symbol] for symbol in started.get("elements", ()))})


def _prepare(potential: Potential, data: AtomicDataModule, job: Job, *, resume: bool) -> LinearFit | None:
    """References, standardisation, linear potential from the train split; one batch as a check that all is finite."""
    statistics = data.statistics
    shift = statistics.shift if job.shift == "mean" else 0.0
    # elements that only the file knows have the E0s of the file, later
    e0s = dict.fromkeys(potential.species, 0.0) | statistics.e0s
    potential.set_statistics(e0s, statistics.scale, shift, statistics.avg_num_neighbors)
    potential.calibrate(data.in_order(data.train_graphs))
    # a run that goes on has its coefficients in the checkpoint
    linear = None if resume else potential.fit_linear(data.in_order(data.sample_to_fit(MOST_FRAMES), 1), data.required)
    if linear is not None:
        potential.observe_linear(data.in_order(data.train_graphs))
    prediction = potential.eval()(next(iter(data.in_order(data.train_graphs))))
    for prop in ("energy", "forces"):
        if not torch.isfinite(prediction[prop]).all():
            raise TrainingError(
                f"the untrained potential predicts a non-finite {prop} for the first train frames; check their "
                "geometry or use dtype=float64."
            )
    return linear


def _describe(
    directory: RunDirectory,
    job: Job,
    data: AtomicDataModule,
    linear: LinearFit | None,
    origin: dict[str, Any] | None,
    *,
    resume: bool,
) -> None:
    """Write what is known before training, ``origin``: the file it starts from; on resuming check the data."""
    console = open_console()
    console.print(data.audit.render())
    if linear is not None:
        console.print(linear.render(), highlight=False)
        if not any(bool(graph.pbc.any()) for graph in data.train_graphs):
            console.print(OF_MOLECULES, highlight=False)
    if resume:
        if directory.read_json("provenance.json", ["data_hash"])["data_hash"] != data.data_hash:
            raise DataError(
                f"resume={directory.path}: the data have changed since this run began; start a new run, or say with "
                "data.path= where they are as they were."
            )
        if directory.read_json("splits.json") != data.splits:
            raise DataError(
                f"resume={directory.path}: the data are split differently than in splits.json; restore that file, use "
                "the version of the run, or start a new run."
            )
        directory.at_begin = changed_files(directory, job)
        return
    directory.write_text(
        "config.yaml", OmegaConf.to_yaml(OmegaConf.create({**job.config, "output_dir": str(directory.path)}))
    )
    record = provenance(job.config, data.data_hash)
    directory.write_json("provenance.json", record if origin is None else {**record, "init_from": origin})
    directory.write_json("splits.json", data.splits)
    directory.write_json("label_audit.json", data.audit.to_json())
    directory.write_json(
        "statistics.json", data.statistics.to_json() | ({"linear": linear.to_json()} if linear else {})
    )


def _tested(
    job: Job, potential: Potential, data: AtomicDataModule, directory: RunDirectory, result: FitResult
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The summary: errors of the best checkpoint over the exact test set, where the job opens it, and the other parts,
    the cost of the head. And the errors by group, which are kept with predictions and figures."""
    best = read_checkpoint(directory.checkpoints / "best.ckpt", needs=["potential"])
    potential.load_state_dict(best["potential"]["state_dict"])
    potential.to(result.device)
    test_errors = FrameErrors() if job.evaluate_test else None
    loss = WeightedLoss(job.loss)
    of_best = FrameLosses(loss)
    with recording(directory, data, figures=job.figures, test=test_errors is not None) as record:
        errors = errors_by_part(potential, data, job.evaluate_train_frames, test_errors, record, of_best.update)
    if test_errors is None:
        (directory.path / "test_frames.csv").unlink(missing_ok=True)  # of weights that more epochs have replaced
    else:
        directory.write_text("test_frames.csv", test_errors.to_csv(data.splits["test"], data.test_groups))
    if job.callbacks.checkpoint.monitor == "val/loss" and result.best_epoch < result.epochs:
        last = load_potential(directory.checkpoints / LAST).to(result.device)
        errors |= deciding_frame(of_best.terms(), frame_losses(last, data.val_dataloader(), loss))
    phase("cost of the head")
    batch = next(iter(data.in_order(data.train_graphs, data.config.batch_size))).to(result.device)
    cost: dict[str, float] = {f"flops/{kind}": count for kind, count in step_flops(potential, batch).items()}
    # the cost of baseline against itself would be noise
    if job.measure_overhead and any(value for key, value in job.head.items() if key != "name"):
        cost |= {f"overhead/{key}": value for key, value in head_overhead(potential, batch).items()}
    phase("end")
    provenance = directory.read_json("provenance.json")
    return build_summary(job, potential, result, errors, cost, provenance), record.errors()
