"""Loggers: W&B offline without a key, TensorBoard when it is there."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse

import pytest
import wandb
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from toy_training import ToyData, ToyPotential, new_directory, toy_job

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import read_settings
from scalarpath.runs import sections
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.runs.sections import LoggerSettings
from scalarpath.training.fit import fit
from scalarpath.training.loggers import arm_of, build_loggers, finish_loggers, has_credentials

WANDB: dict[str, Any] = {
    "project": "scalarpath", "entity": None, "group": "si_mace", "name": None, "tags": ["a", "b"], "mode": "auto",
}  # fmt: skip


@pytest.fixture
def without_key(monkeypatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked for input"))


def wandb_settings(**changes: Any) -> LoggerSettings:
    return read_settings(LoggerSettings, {"kind": "wandb", "wandb": {**WANDB, **changes}}, "logger")


def test_wandb_without_a_key_writes_an_offline_run_and_keeps_its_id(tmp_path: Path, without_key: None, capsys) -> None:
    directory = new_directory(tmp_path / "run")
    job = toy_job(trainer={"max_epochs": 1})
    loggers = build_loggers(wandb_settings(), directory, job.config)
    fit(ToyPotential(), ToyData(), job, directory, loggers)
    run = loggers[0].experiment
    assert run.settings.mode == "offline"
    assert "cannot be reached" not in capsys.readouterr().err, "offline was chosen, not fallen back to"
    assert (run.group, list(run.tags), run.name, run.config["seed"]) == ("si_mace", ["a", "b"], "run", 0)
    assert run.summary["val/forces_mae_meV_A"] > 0
    finish_loggers(loggers, {"test/forces_mae_meV_A": 5.0})
    run_id = directory.read_json("logger.json")["wandb_id"]
    (file,) = (directory.path / "wandb").glob(f"offline-run-*-{run_id}/*.wandb")
    deadline = time.monotonic() + 20.0  # W&B's own process may write a moment after finish()
    while b"test/forces_mae_meV_A" not in file.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert b"test/forces_mae_meV_A" in file.read_bytes()


def read_back(directory: RunDirectory) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of history and the closing state of an offline run, as W&B's own reader finds them in its file."""
    (folder,) = (directory.path / "wandb").glob("offline-run-*")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    records, state = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in (inspect, [*inspect, "--summary"])
    )
    lines = [json.loads(line) for line in records.splitlines()]
    return [line["history"]["item"] for line in lines if line["type"] == "history"], json.loads(state)


def test_an_offline_run_read_back_has_every_epoch_the_arm_and_the_summary(tmp_path: Path, without_key: None) -> None:
    directory, job = new_directory(tmp_path / "run"), toy_job(trainer={"max_epochs": 3}, head={"name": "pan"})
    loggers = build_loggers(wandb_settings(), directory, job.config)
    fit(ToyPotential(), ToyData(), job, directory, loggers)
    finish_loggers(loggers, {"test/forces_mae_meV_A": 5.0, "overhead/train_ratio": 1.1})
    history, state = read_back(directory)
    with (directory.path / "metrics.csv").open() as stream:
        written = list(csv.DictReader(stream))
    for epoch, row in enumerate(written, start=1):
        logged = {key: value for item in history if item.get("epoch") == epoch for key, value in item.items()}
        for key, value in row.items():
            if key != "epoch" and value:
                assert logged[key] == pytest.approx(float(value)), key
    for key in ("val/stress_mae_meV_A3", "train/energy_mae_meV_atom", "time/step_ms", "time/data_share", "lr"):
        assert any(key in item for item in history)
    assert (state["config"]["head"]["name"], state["config"]["data"]["name"], state["config"]["seed"]) == (
        "pan", "toy", 0
    )  # fmt: skip
    assert state["config"]["arm"] == arm_of(job.config)
    assert (state["state"], state["project"]) == ("finished", "scalarpath")
    assert (state["summary"]["test/forces_mae_meV_A"], state["summary"]["overhead/train_ratio"]) == (5.0, 1.1)


def test_a_failed_run_is_closed_as_failed(tmp_path: Path, without_key: None) -> None:
    directory = new_directory(tmp_path / "run")
    finish_loggers(build_loggers(wandb_settings(), directory, toy_job().config), None)
    _, state = read_back(directory)
    assert state["exit_code"] == 1


def test_runs_that_differ_in_the_seed_alone_are_one_arm() -> None:
    def arm(*overrides: str) -> str:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            composed = compose("train", ["head=pan", *overrides])
        return arm_of(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=False)))

    first = arm("data=lif")
    assert re.fullmatch(r"lif_mace-[0-9a-f]{4}_pan_80epochs", first)
    assert arm("data=lif", "seed=3", "trainer.threads=2") == first
    others = ("trainer.max_epochs=160", "data.train_size=40", "backbone=mace_medium", "backbone=nequip", "head=pgs")
    assert len({first, *(arm("data=lif", other) for other in others)}) == len(others) + 1


def test_runs_of_one_data_set_and_backbone_are_a_group() -> None:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose("train", ["logger=wandb", "data=lif", "backbone=nequip", "head=pan"])
    assert cfg.logger.wandb.group == "lif_nequip"


@pytest.mark.parametrize("host", ["server", "public name", "another"])
def test_a_key_in_the_netrc_file_is_found(tmp_path: Path, without_key: None, monkeypatch, host: str) -> None:
    import wandb

    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    names = {"server": urlparse(wandb.Settings().base_url).netloc, "public name": "api.wandb.ai", "another": "a.b"}
    (tmp_path / "netrc").write_text(f"machine {names[host]} login user password {'x' * 40}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert has_credentials() == (host != "another")


def test_a_resumed_run_goes_on_under_the_same_id(tmp_path: Path, without_key: None) -> None:
    directory = new_directory(tmp_path / "run")
    ids = []
    for _ in range(2):
        loggers = build_loggers(wandb_settings(), directory, toy_job().config)
        ids.append(loggers[0].experiment.id)
        finish_loggers(loggers, None)
    assert ids[0] == ids[1]


@pytest.fixture
def with_key(monkeypatch, without_key: None) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing answers there
    wandb.teardown()  # it reads the variables once in a process


@pytest.mark.parametrize(("key", "words"), [("x" * 40, "127.0.0.1:9"), ("short", "API key must have 40+ characters")])
def test_a_server_or_key_that_does_not_work_means_offline_within_seconds(
    tmp_path: Path, monkeypatch, with_key: None, capsys, key: str, words: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setattr("scalarpath.training.loggers._SECONDS_TO_ANSWER", 1.0)
    directory = new_directory(tmp_path / "run with blank")
    loggers = build_loggers(wandb_settings(), directory, toy_job().config)
    assert loggers[0].experiment.settings.mode == "offline"
    folder = next((directory.path / "wandb").glob("offline-run-*"))
    line = capsys.readouterr().err.splitlines()[-1]
    assert words in line
    assert line.endswith(f"logged offline. Send it later with: wandb sync '{folder}'")
    finish_loggers(loggers, None)


def test_a_wandb_that_is_lost_in_the_middle_does_not_end_the_training(tmp_path: Path, monkeypatch, capsys) -> None:
    directory, job = new_directory(tmp_path / "run"), toy_job(trainer={"max_epochs": 2})
    loggers = build_loggers(wandb_settings(mode="offline"), directory, job.config)
    run = loggers[0].experiment

    def lost(*arguments: Any, **named: Any) -> None:
        raise ConnectionResetError("Connection lost")

    finish = run.finish
    monkeypatch.setattr(run, "log", lost)
    monkeypatch.setattr(run, "finish", lost)
    assert fit(ToyPotential(), ToyData(), job, directory, loggers).epochs == 2
    finish_loggers(loggers, {})
    lines = [line for line in capsys.readouterr().err.splitlines() if "Connection lost" in line]
    assert len(lines) == 2, "one for the training and one for its end"
    assert "wandb sync" in lines[0]
    finish()


def test_tensorboard_is_refused_when_it_is_not_installed(monkeypatch) -> None:
    monkeypatch.setattr(sections, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package tensorboard; install scalarpath\[tensorboard\]"):
        LoggerSettings(kind="tensorboard", wandb=None)


def test_tensorboard_has_epochs_from_one_and_the_numbers_of_the_summary(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    directory: RunDirectory = new_directory(tmp_path / "run")
    loggers = build_loggers(LoggerSettings(kind="tensorboard", wandb=None), directory, {})
    fit(ToyPotential(), ToyData(), toy_job(trainer={"max_epochs": 2}), directory, loggers)
    finish_loggers(loggers, {"steps": 6, "data": "si", "test/forces_mae_meV_A": 5.0})
    events = EventAccumulator(str(directory.path / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("epoch")][-1] == 2.0
    assert min(event.value for event in events.Scalars("epoch")) == 1.0
    assert len(events.Scalars("val/forces_mae_meV_A")) == 2
    assert [(event.step, event.value) for event in events.Scalars("test/forces_mae_meV_A")] == [(6, 5.0)]


def test_plain_csv_needs_no_logger(tmp_path: Path) -> None:
    assert build_loggers(LoggerSettings(kind="csv", wandb=None), new_directory(tmp_path / "run"), {}) == []
