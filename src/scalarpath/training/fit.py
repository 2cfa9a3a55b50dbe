"""Fitting a potential: settings, callbacks and the Lightning trainer put together."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from scalarpath.core.stopwatch import WATCH
from scalarpath.potential import read_checkpoint
from scalarpath.potential.backend import PotentialBackend
from scalarpath.potential.compiled import CompiledPotential
from scalarpath.potential.cuequivariance import CuequivariancePotential
from scalarpath.runs.job import Job
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.runs.sections import TrainerSettings
from scalarpath.training.averaged import ScheduleFreeAverage
from scalarpath.training.callbacks.checkpoints import LAST, BestAndLast
from scalarpath.training.callbacks.early_stopping import EarlyStopping
from scalarpath.training.callbacks.finite_guard import FiniteGuard
from scalarpath.training.callbacks.first_failure import FirstFailure
from scalarpath.training.callbacks.max_time import MaxTime
from scalarpath.training.callbacks.metrics_csv import MetricsCsv
from scalarpath.training.callbacks.own_signals import OwnSignals
from scalarpath.training.callbacks.padding import UnlabelledPadding
from scalarpath.training.callbacks.progress import Progress
from scalarpath.training.callbacks.run_status import RunStatus
from scalarpath.training.callbacks.step_timer import StepTimer
from scalarpath.training.checks import check_accelerator
from scalarpath.training.ema import Ema
from scalarpath.training.launch import source_of_processes
from scalarpath.training.losses import WeightedLoss
from scalarpath.training.module import PotentialModule
from scalarpath.training.stage_times import StageTimes


@dataclass(frozen=True)
class FitResult:
    """How the fit went: ``stopped_by`` is max_epochs, max_time or early_stopping; epochs count from 1."""

    stopped_by: str
    epochs: int
    steps: int
    best_epoch: int
    best_value: float
    times: dict[str, float]
    device: torch.device


def fit(
    potential: Any,
    data: pl.LightningDataModule,
    job: Job,
    directory: RunDirectory,
    loggers: list[Logger],
    *,
    resume: bool = False,
) -> FitResult:
    """Fit ``potential`` and leave metrics.csv and checkpoints in ``directory``.

    With ``resume`` it continues from checkpoints/last.ckpt, exactly as if it had never stopped. Raises ConfigError for
    a device that is not there, TrainingError when the loss stops being finite.
    """
    callbacks = _callbacks(job, directory)
    module = PotentialModule(
        potential,
        WeightedLoss(job.loss, getattr(data, "frame_weights", None)),
        job.optimizer,
        job.scheduler,
        _backend(potential, job),
        gradient_clip=job.trainer.gradient_clip,
        depth_factor=1.0 if job.depth_factor is None else job.depth_factor,
    )
    module.train()
    last = directory.checkpoints / LAST if resume else None
    if last is not None:
        read_checkpoint(last, needs=["state_dict", "optimizer_states", "epoch"])  # Lightning trusts the file
    with _quiet_lightning(), _interrupt_passed_on():
        trainer = _trainer(job.trainer, list(callbacks.values()), loggers)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True if resume else None)
        except Exception as error:
            callbacks["first_failure"].end_all(trainer, error)
            raise
    return _result(trainer, callbacks)


def _backend(potential: Any, job: Job) -> PotentialBackend | None:
    """What computes the potential, if not torch's own operations."""
    if job.kernels is not None:
        return CuequivariancePotential(potential)
    return CompiledPotential(potential) if job.compile else None


def _callbacks(job: Job, directory: RunDirectory) -> dict[str, Any]:
    """Callbacks in the order in which they act: measure, guard, average, decide, report, save."""
    section = job.callbacks
    chosen: dict[str, pl.Callback | None] = {
        "own_signals": OwnSignals(),
        "first_failure": FirstFailure(directory),
        "run_status": RunStatus(directory),
        "padding": UnlabelledPadding(),
        "step_timer": StepTimer(section.step_timer) if section.step_timer else None,
        "finite_guard": FiniteGuard(),
        "ema": Ema(section.ema) if section.ema else None,
        "schedule_free": ScheduleFreeAverage() if job.optimizer.kind == "schedule_free" else None,
        "early_stopping": EarlyStopping(section.early_stopping) if section.early_stopping else None,
        "max_time": MaxTime(60.0 * job.trainer.max_time) if job.trainer.max_time else None,
        "metrics_csv": MetricsCsv(directory.path / "metrics.csv"),
        "progress": Progress(section.progress),
        "checkpoint": BestAndLast(section.checkpoint, directory.checkpoints),
    }
    return {name: callback for name, callback in chosen.items() if callback is not None}


def _trainer(settings: TrainerSettings, callbacks: list[pl.Callback], loggers: list[Logger]) -> pl.Trainer:
    check_accelerator(settings)
    return pl.Trainer(
        accelerator=settings.accelerator,
        strategy=settings.strategy,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        deterministic=settings.deterministic,
        max_epochs=settings.max_epochs,
        accumulate_grad_batches=settings.accumulate_batches,
        callbacks=callbacks,
        logger=loggers or False,
        plugins=source_of_processes(settings),
        profiler=None if WATCH is None else StageTimes(WATCH),
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        # the data module shares frames out itself; forces need gradients outside of training too
        use_distributed_sampler=False,
        inference_mode=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextmanager
def _interrupt_passed_on() -> Iterator[None]:
    """Let Ctrl-C and signals end the whole command: Lightning turns them into an exit, and then ignores the key."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise stop.__context__ from None


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Hide what Lightning says about choices made here on purpose."""
    talkative = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in talkative]
    for logger in talkative:
        logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in ("does not have many workers", "in eval mode", r"LeafSpec\)` is deprecated"):
            warnings.filterwarnings("ignore", message=f".*{message}")
        try:
            yield
        finally:
            for logger, level in zip(talkative, levels, strict=True):
                logger.setLevel(level)


def _result(trainer: pl.Trainer, callbacks: Mapping[str, Any]) -> FitResult:
    decided = [name for name in ("early_stopping", "max_time") if name in callbacks and callbacks[name].reached]
    finished = trainer.current_epoch >= (trainer.max_epochs or 0)
    checkpoint: BestAndLast = callbacks["checkpoint"]
    return FitResult(
        stopped_by="max_epochs" if finished or not decided else decided[0],
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        best_epoch=checkpoint.best_epoch,
        best_value=checkpoint.best,
        times=callbacks["step_timer"].summary() if "step_timer" in callbacks else {},
        device=trainer.strategy.root_device,
    )
