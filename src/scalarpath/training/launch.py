"""Whether the processes that a job asks for can come, asked before anything waits for them."""

from __future__ import annotations

import os

from lightning_fabric.plugins.environments import (
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)

from scalarpath.core.errors import ConfigError
from scalarpath.runs.job import TrainerSettings

_LAUNCHERS = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment)
_BY_HAND = ("MASTER_ADDR", "NODE_RANK")  # what Lightning reads where the command is typed on every node


def check_launch(settings: TrainerSettings) -> None:
    """Raise ConfigError for more processes than the machine has cores, and for nodes that nothing has started."""
    cores = os.cpu_count() or 1
    if settings.accelerator != "gpu" and settings.devices > cores:
        raise ConfigError(
            f"trainer.devices={settings.devices} asks for as many processes, but this machine has {cores} cores; "
            f"take {cores} or fewer."
        )
    started = any(launcher.detect() for launcher in _LAUNCHERS) or all(name in os.environ for name in _BY_HAND)
    if settings.num_nodes > 1 and not started:
        raise ConfigError(
            f"trainer.num_nodes={settings.num_nodes}, but no launcher has started this process on several nodes, and "
            "it would wait for the others for ever; start it with srun or torchrun, or set MASTER_ADDR and NODE_RANK "
            "on every node."
        )
