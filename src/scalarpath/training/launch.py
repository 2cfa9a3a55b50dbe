"""Where the processes of a job come from, and whether they can come, asked before anything waits for them."""

from __future__ import annotations

import os

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.lsf import LSFEnvironment
from lightning_fabric.plugins.environments.mpi import MPIEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from scalarpath.core.errors import ConfigError
from scalarpath.runs.ranks import RANKS, number
from scalarpath.runs.sections import TrainerSettings

_LAUNCHERS = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment)
_BY_HAND = ("MASTER_ADDR", "NODE_RANK")  # what Lightning reads where the command is typed on every node


def check_launch(settings: TrainerSettings) -> None:
    """Raise ConfigError for processes that cannot come.

    These are nodes that nothing has started, and another number of processes than a launcher has started.
    """
    started = any(launcher.detect() for launcher in _LAUNCHERS) or all(name in os.environ for name in _BY_HAND)
    if settings.num_nodes > 1 and not started:
        raise ConfigError(
            f"trainer.num_nodes={settings.num_nodes}, but no launcher has started this process on several nodes, and "
            "it would wait for the others for ever; start it with srun or torchrun, or set MASTER_ADDR and NODE_RANK "
            "on every node."
        )
    if settings.devices * settings.num_nodes > 1:
        _check_number(settings)


def source_of_processes(settings: TrainerSettings) -> ClusterEnvironment | None:
    """Where the processes of the job come from, if not from where Lightning would guess (None)."""
    if settings.devices * settings.num_nodes == 1:
        return LightningEnvironment()
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        # there is a checkpoint of every epoch; Lightning would write another one, queue the job again, and not end
        return SLURMEnvironment(auto_requeue=False)
    return None


def _check_number(settings: TrainerSettings) -> None:
    """Compare the processes of a job that has several with those that a launcher says it has started."""
    wanted = settings.devices * settings.num_nodes
    job = f"trainer.devices={settings.devices} and trainer.num_nodes={settings.num_nodes} make {wanted} processes"
    torchrun = TorchElasticEnvironment.detect()
    if SLURMEnvironment.detect() and not torchrun:
        tasks, per_node = number("SLURM_NTASKS"), number("SLURM_NTASKS_PER_NODE")
        if tasks != wanted or per_node not in (None, settings.devices):
            raise ConfigError(
                f"{job}, but SLURM has {tasks} tasks for them; start them with srun --nodes={settings.num_nodes} "
                f"--ntasks-per-node={settings.devices}, or jobs of one process each with trainer.devices=1."
            )
        if per_node is None:
            raise ConfigError(f"{job}: give SLURM --ntasks-per-node={settings.devices} in place of --ntasks.")
        return
    ranks = {name: number(name) for name in RANKS}
    started = number("WORLD_SIZE")
    if torchrun and started != wanted:
        raise ConfigError(f"{job}, but torchrun has started {started}; make the numbers equal.")
    # processes that Lightning starts, or somebody by hand, are told how many they are
    left_over = [name for name, rank in ranks.items() if rank and name != "NODE_RANK"]
    if left_over and started != wanted:
        name = left_over[0]
        raise ConfigError(
            f"{job}, and {name}={ranks[name]} says that this is not the first, but WORLD_SIZE is "
            f"{'not set' if started is None else started}; unset {name}, or start all processes with torchrun or srun."
        )
