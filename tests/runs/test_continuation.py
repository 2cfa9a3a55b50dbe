"""Runs that are evaluated or continued elsewhere, with their data elsewhere, or with more epochs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from composed_jobs import SMOKE, job
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scalarpath.core.errors import CheckpointError, ConfigError, DataError
from scalarpath.core.resources import CONF_DIR
from scalarpath.data.config import PLACES
from scalarpath.evaluation import command
from scalarpath.evaluation.settings import OF_FRAMES, EvaluationSettings
from scalarpath.runs.continuation import check_places
from scalarpath.runs.identity import config_hash
from scalarpath.runs.job import Job, plain_config, stored_config
from scalarpath.training import run as training

FRAMES = CONF_DIR.parent / "data/si/frames.extxyz"


def evaluate(*overrides: str):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return command.run(EvaluationSettings.from_hydra(compose("evaluate", list(overrides))))


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def moved(tmp_path_factory) -> Path:
    """A folder with a run that was trained on a relative path; run and data have been moved since."""
    folder = tmp_path_factory.mktemp("moved")
    (folder / "before").mkdir()
    shutil.copy(FRAMES, folder / "before/cu.extxyz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "before")
        cfg = job(*SMOKE, "data=extxyz", "data.path=cu.extxyz", "trainer.max_epochs=1", "output_dir=run")
        training.run(Job.from_hydra(cfg))
    (folder / "before").rename(folder / "now")
    shutil.move(folder / "now/run", folder / "run")
    return folder


def test_the_stored_path_is_absolute_and_the_hash_that_of_what_was_typed(moved: Path) -> None:
    config = stored_config(moved / "run")
    assert config["data"]["path"] == f"{moved}/before/cu.extxyz"
    assert config["given_paths"] == {"path": "cu.extxyz"}
    typed = job(*SMOKE, "data=extxyz", "data.path=cu.extxyz", "trainer.max_epochs=1", "output_dir=run")
    assert read(moved / "run/provenance.json")["config_hash"] == config_hash(config) == config_hash(plain_config(typed))


@pytest.mark.parametrize("overrides", [(), ("data=extxyz", "data.path=/a/b.xyz"), ("data=rmd17",)])
def test_nothing_is_noted_where_no_path_was_changed(overrides) -> None:
    cfg = job(*overrides)
    assert Job.from_hydra(cfg).config == plain_config(cfg)


def test_a_moved_run_is_evaluated_where_its_data_are_now(moved: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(DataError, match=r"before/cu.extxyz; say where they are now with data\.path=\.$"):
        evaluate(f"run={moved}/run", "artifact=null", f"output_dir={tmp_path}")
    other = CONF_DIR.parent / "data/ag/frames.extxyz"
    with pytest.raises(DataError, match="the data have changed since this run"):
        evaluate(
            f"run={moved}/run",
            "artifact=null",
            f"output_dir={tmp_path}",
            f"data.path={other}",
            "data.path=" + str(other),
        )
    monkeypatch.chdir(moved / "now")
    evaluate("run=../run", "artifact=null", f"output_dir={tmp_path}", "data.path=cu.extxyz")
    found, summary = read(tmp_path / "artifacts/test_errors.json"), read(moved / "run/summary.json")
    key = "test/forces_mae_meV_A"
    assert found[key] == pytest.approx(summary[key], rel=1e-6)


def test_a_relative_path_of_an_older_run_says_from_where_it_is_seen(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    old = Job.read(plain_config(job("data=extxyz", "data.path=cu.extxyz")))
    with pytest.raises(DataError, match=rf"run=R: its data are not at cu.extxyz \(seen from {tmp_path}\)"):
        check_places(old, "run=R")
    (tmp_path / "cu.extxyz").touch()
    check_places(old, "run=R")


def test_errors_on_another_file_leave_the_run_as_it_was(moved: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (moved / "run").rglob("*") if path.is_file()}
    few = tmp_path / "few.extxyz"
    few.write_text(FRAMES.read_text().replace("energy=", "E_dft="))
    said = (f"run={moved}/run", f"frames={few}")
    evaluate(*said, "data.energy_key=E_dft", "data.index=:5")
    content = read(moved / "run/artifacts/frames_few.extxyz.json")
    assert content["frames"] == content["frames/energy_labels"] == 5
    assert content["frames/forces_mae_meV_A"] > 0
    rows = list(csv.DictReader((moved / "run/artifacts/frames_few.extxyz.csv").open()))
    assert len(rows) == 5
    for row in rows:  # each of another config_type
        of_kind = content["errors"]["config_type"][row["group"]]
        assert of_kind["energy_labels"] == 1
        assert of_kind["energy_mae_meV_atom"] == pytest.approx(abs(float(row["energy_error_meV_atom"])), rel=1e-4)
    assert {path: path.read_bytes() for path in before} == before
    shutil.copy(few, moved / "few.extxyz")
    with pytest.raises(ConfigError, match=r"holds the errors on .*few\.extxyz; choose another place"):
        evaluate(f"run={moved}/run", f"frames={moved}/few.extxyz")
    unknown = CONF_DIR.parent / "data/ag/frames.extxyz"
    with pytest.raises(DataError, match=r"data/ag/frames.extxyz, frame 0: this potential does not know Ag"):
        evaluate(f"run={moved}/run", f"frames={unknown}", f"output_dir={tmp_path}")


def test_every_setting_of_labels_can_be_given_for_other_frames() -> None:
    assert set(OmegaConf.load(CONF_DIR / "evaluate.yaml").data) == {*PLACES, *OF_FRAMES}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("calculator=a:b", "material=si", "frames=x"), r"frames=, committee= and data\.\* belong to run="),
        (("run=R", "data.energy_key=E"), r"data\.energy_key belongs to frames="),
        (("run=R", "frames=x", "data.path=y"), r"frames= reads no data of the run"),
    ],
)
def test_settings_of_data_that_mean_nothing_are_refused(overrides, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(*overrides)


def test_a_finished_run_gets_more_epochs_and_says_so(moved: Path) -> None:
    path = moved / "longer"
    shutil.copytree(moved / "run", path)
    with pytest.raises(ConfigError, match=r"trainer.max_epochs=1: this run has 1 epochs; give a larger number"):
        Job.of_run(path, {"trainer.max_epochs": 1})
    with pytest.raises(CheckpointError, match=r"for more epochs give a larger trainer\.max_epochs too"):
        training.run(Job.of_run(path, {"data.path": f"{moved}/now/cu.extxyz"}), resume=path)
    longer = Job.of_run(path, {"trainer.max_epochs": 2, "data.path": f"{moved}/now/cu.extxyz"})
    summary, old = training.run(longer, resume=path), read(moved / "run/summary.json")
    assert (summary["epochs"], old["epochs"]) == (2, 1)
    assert read(path / "summary.json")["hash/config"] != old["hash/config"], (
        "it is another training than 2 epochs at once"
    )
    record, config = read(path / "provenance.json"), stored_config(path)
    assert record["config_hash"] == summary["hash/config"] == config_hash(config)
    (step,) = record["continued"]
    assert (step["earlier_max_epochs"], step["max_epochs"], step["after_epoch"]) == (1, 2, 1)
    assert (config["trainer"]["max_epochs"], config["earlier_max_epochs"]) == (2, [1])
    assert config["data"]["path"] == f"{moved}/now/cu.extxyz"


def test_more_epochs_that_cannot_start_change_nothing(moved: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(moved / "run", tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    longer = Job.of_run(tmp_path / "run", {"trainer.max_epochs": 2, "data.path": f"{moved}/now/cu.extxyz"})
    monkeypatch.setattr(training, "fit", lambda *_, **__: (_ for _ in ()).throw(ConfigError("no GPU")))
    with pytest.raises(ConfigError, match="no GPU"):
        training.run(longer, resume=tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
