"""What can be found wrong with a job before its data are read. Imported first: torch, the networks, nothing else."""

from __future__ import annotations

import torch

from scalarpath.core.errors import ConfigError
from scalarpath.potential.configuration import check_options, potential_config
from scalarpath.runs.job import Job
from scalarpath.runs.sections import TrainerSettings


def check_job(job: Job) -> None:
    """Raise the ConfigError for a device that is not there, and for options of backbone and head out of range."""
    check_accelerator(job.trainer)
    check_options(potential_config([], job.backbone, job.head, job.dtype, job.repulsion))


def check_accelerator(settings: TrainerSettings) -> None:
    """Raise ConfigError where there are not as many GPUs as are asked for."""
    if settings.accelerator == "gpu" and settings.devices > torch.cuda.device_count():
        raise ConfigError(
            f"trainer asks for {settings.devices} GPU(s) but {torch.cuda.device_count()} can be used; take trainer=cpu "
            "or lower trainer.devices."
        )
