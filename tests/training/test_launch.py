"""Processes that cannot come are refused before anything waits for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toy_training import toy_job

from scalarpath.core.errors import ConfigError
from scalarpath.runs.ranks import is_first_process, settle_ranks
from scalarpath.training.checks import check_cores
from scalarpath.training.fit import _trainer
from scalarpath.training.launch import check_launch

LAUNCHED = {
    "torchrun": {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "2"},
    "srun": {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_NTASKS_PER_NODE": "1"},
    "by hand": {"MASTER_ADDR": "node1", "NODE_RANK": "0"},
}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variables in LAUNCHED.values():
        for name in (*variables, "SLURM_JOB_NAME", "LOCAL_RANK"):
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_nodes_that_nobody_has_started_are_refused(alone: pytest.MonkeyPatch) -> None:
    trainer = toy_job().trainer
    check_launch(trainer)
    with pytest.raises(ConfigError, match=r"trainer\.num_nodes=2, but no launcher .* start it with srun or torchrun"):
        check_launch(replace(trainer, num_nodes=2))


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_nodes_of_a_launcher_are_believed(launcher: str, alone: pytest.MonkeyPatch) -> None:
    for name, value in LAUNCHED[launcher].items():
        alone.setenv(name, value)
    check_launch(replace(toy_job().trainer, num_nodes=2))


def test_more_processes_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    trainer = toy_job().trainer
    check_cores(replace(trainer, devices=4))
    check_cores(replace(trainer, devices=8, accelerator="gpu"))  # Lightning counts the GPUs
    with pytest.raises(ConfigError, match=r"trainer\.devices=5 asks for as many processes, but .* has 4 cores"):
        check_cores(replace(trainer, devices=5))


TASKS = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}
AROUND = {
    "srun": {**TASKS, "SLURM_PROCID": "1"},
    "sbatch": {**TASKS, "SLURM_PROCID": "0"},
    "torchrun": {"TORCHELASTIC_RUN_ID": "1", "RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "node1"},
    "left over": {"RANK": "1", "LOCAL_RANK": "1"},
    "nonsense": {"RANK": "first"},
}


@pytest.mark.parametrize("launcher", AROUND)
def test_a_job_of_one_process_is_its_own_whatever_starts_it(launcher: str, alone: pytest.MonkeyPatch) -> None:
    for name, value in AROUND[launcher].items():
        alone.setenv(name, value)
    settings = toy_job().trainer
    settle_ranks(settings.devices, settings.num_nodes)
    assert is_first_process()
    check_launch(settings)
    trainer = _trainer(settings, [], [])
    assert (trainer.world_size, trainer.global_rank, trainer.is_global_zero) == (1, 0, True)


@pytest.mark.parametrize(
    ("launcher", "words"),
    [
        ("srun", r"make 2 processes, but SLURM has 4 tasks .* srun --nodes=1 --ntasks-per-node=2"),
        ("torchrun", "make 2 processes, but torchrun has started 4; make the numbers equal"),
        ("left over", "RANK=1 says that this is not the first, but WORLD_SIZE is not set; unset RANK"),
        ("nonsense", "RANK=first in the environment is not a whole number; unset it"),
    ],
)
def test_another_number_of_processes_than_the_job_has_is_refused(
    launcher: str, words: str, alone: pytest.MonkeyPatch
) -> None:
    for name, value in AROUND[launcher].items():
        alone.setenv(name, value)
    settings = replace(toy_job().trainer, devices=2)
    settle_ranks(settings.devices, settings.num_nodes)
    with pytest.raises(ConfigError, match=words):
        check_launch(settings)
    if launcher == "nonsense":  # asked before everything else
        with pytest.raises(ConfigError, match=words):
            is_first_process()


def test_the_processes_that_lightning_starts_pass(alone: pytest.MonkeyPatch) -> None:
    for name, value in {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        alone.setenv(name, value)
    check_launch(replace(toy_job().trainer, devices=2))
