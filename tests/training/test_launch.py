"""Processes that cannot come are refused before anything waits for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toy_training import toy_job

from scalarpath.core.errors import ConfigError
from scalarpath.training.launch import check_launch

LAUNCHED = {
    "torchrun": {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "2"},
    "srun": {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
    "by hand": {"MASTER_ADDR": "node1", "NODE_RANK": "0"},
}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variables in LAUNCHED.values():
        for name in (*variables, "SLURM_JOB_NAME"):
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
    check_launch(replace(trainer, devices=4))
    check_launch(replace(trainer, devices=8, accelerator="gpu"))  # Lightning counts the GPUs
    with pytest.raises(ConfigError, match=r"trainer\.devices=5 asks for as many processes, but .* has 4 cores"):
        check_launch(replace(trainer, devices=5))
