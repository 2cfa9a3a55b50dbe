"""What can be found wrong with a job before its data are read. Imported first: torch, the networks, nothing else."""

from __future__ import annotations

import os

import torch

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import read_settings
from scalarpath.potential.configuration import check_options, potential_config
from scalarpath.potential.widening import Widening
from scalarpath.runs.job import Job
from scalarpath.runs.sections import TrainerSettings


def check_job(job: Job) -> None:
    """Raise the ConfigError for devices that are not there, and for options of backbone and head out of range."""
    check_cores(job.trainer)
    check_accelerator(job.trainer)
    check_options(potential_config([], job.backbone, job.head, job.dtype, job.repulsion))
    if job.head.get("widen") is not None:
        read_settings(Widening, job.head["widen"], "head.widen")


def check_cores(settings: TrainerSettings) -> None:
    """Raise ConfigError for more processes on the CPU than the machine has cores."""
    cores = os.cpu_count() or 1
    if settings.accelerator != "gpu" and settings.devices > cores:
        raise ConfigError(
            f"trainer.devices={settings.devices} asks for as many processes, but this machine has {cores} cores; "
            f"take {cores} or fewer."
        )


def check_accelerator(settings: TrainerSettings) -> None:
    """Raise ConfigError where there are not as many GPUs as are asked for."""
    if settings.accelerator == "gpu" and settings.devices > torch.cuda.device_count():
        raise ConfigError(
            f"trainer asks for {settings.devices} GPU(s) but {torch.cuda.device_count()} can be used; take trainer=cpu "
            "or lower trainer.devices."
        )
