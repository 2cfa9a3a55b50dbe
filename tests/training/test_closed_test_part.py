"""``evaluate_test=false``: during development no number is made of test labels, until evaluate.py opens the part."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from composed_jobs import SMOKE, job, run
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from scalarpath.core.errors import InUseError
from scalarpath.core.resources import CONF_DIR
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.evaluation import command
from scalarpath.evaluation.settings import EvaluationSettings
from scalarpath.report.runs import find_runs
from scalarpath.runs.identity import config_hash
from scalarpath.runs.job import Job, plain_config
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training import run as training
from scalarpath.training.summary import print_summary

OF_TEST = ("test/", "trivial/")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def evaluate(*overrides: str) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        command.run(EvaluationSettings.from_hydra(compose("evaluate", ["artifact=null", *overrides])))


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("open") / "run"
    run(job(*SMOKE, "head=panpgs", f"output_dir={path}"))
    return path


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> Path:
    """Trained with test frames that cannot be read."""
    path = tmp_path_factory.mktemp("closed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AtomicDataModule, "test_dataloader", None)
        run(job(*SMOKE, "head=panpgs", "evaluate_test=false", f"output_dir={path}"))
    return path


def test_a_closed_run_is_finished_without_any_test_number_and_the_others_are_the_same(
    opened: Path, closed: Path
) -> None:
    summary, expected = read(closed / "summary.json"), read(opened / "summary.json")
    assert not [key for key in summary if key.startswith(OF_TEST)]
    assert not (closed / "test_frames.csv").exists()
    assert RunDirectory(closed).is_complete
    RunDirectory(closed).check_results()
    compared = {key: value for key, value in expected.items() if not key.startswith((*OF_TEST, "time/"))}
    assert {key: value for key, value in summary.items() if not key.startswith("time/")} == compared


def test_the_end_of_a_closed_run_shows_no_test_column_and_the_command_that_opens_it(
    closed: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("sys.argv", ["./train.py"])
    print_summary(read(closed / "summary.json"), RunDirectory(Path("outputs/a")), evaluate_test=False)
    shown = capsys.readouterr().out
    header = shown.splitlines()[2]
    assert "valid" in header
    assert "test" not in header
    command = "python evaluate.py run=outputs/a"
    assert f"The test part is closed; once, for a final claim, open it with: {command}" in shown


def test_a_test_part_without_labels_is_not_called_closed(closed: Path, capsys) -> None:
    print_summary(read(closed / "summary.json"), RunDirectory(Path("outputs/a")), evaluate_test=True)
    shown = capsys.readouterr().out
    assert "closed" not in shown
    assert "Go on with: " in shown


def test_evaluate_opens_a_closed_run_once_with_the_numbers_that_training_would_have_had(
    opened: Path, closed: Path, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "run"
    shutil.copytree(closed, path)
    evaluate(f"run={path}", f"frames={CONF_DIR.parent}/data/si/frames.extxyz")  # other frames are no test part
    assert not [key for key in read(path / "summary.json") if key.startswith(OF_TEST)]
    evaluate(f"run={path}")
    assert "The test part is open now" in capsys.readouterr().out
    summary, expected = read(path / "summary.json"), read(opened / "summary.json")
    of_test = [key for key in expected if key.startswith(OF_TEST)]
    assert {key: summary[key] for key in of_test} == pytest.approx({key: expected[key] for key in of_test}, rel=1e-6)
    before = read(closed / "summary.json")
    assert {key: summary[key] for key in before} == before
    assert (path / "test_frames.csv").read_text() == (opened / "test_frames.csv").read_text()
    assert set(read(path / "provenance.json")["test_opened"]) == {"time", "versions", "git"}
    RunDirectory(path).check_results()
    log = (path / "provenance.json").read_bytes()
    evaluate(f"run={path}")
    assert "is open now" not in capsys.readouterr().out
    assert (path / "provenance.json").read_bytes() == log


def test_more_epochs_leave_no_test_frames_of_the_weights_before(closed: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "run"
    shutil.copytree(closed, path)
    (path / "test_frames.csv").write_text("left by evaluate.py")
    training.run(Job.of_run(path, {"trainer.max_epochs": 3}), resume=path)
    assert "The test part is closed" in capsys.readouterr().out
    assert not [key for key in read(path / "summary.json") if key.startswith(OF_TEST)]
    assert not (path / "test_frames.csv").exists()
    assert len(find_runs([str(path)], {})[0]) == 1


def test_a_closed_run_is_the_same_job_so_that_a_sweep_trains_it_once() -> None:
    configs = [plain_config(job(*SMOKE, f"evaluate_test={value}")) for value in ("true", "false")]
    assert config_hash(configs[0]) == config_hash(configs[1])


def test_a_run_that_another_process_uses_is_not_opened(closed: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(closed, path)
    status = (path / "status.json").read_bytes()
    with (path / ".lock").open("a+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InUseError, match="is in use by"):
            evaluate(f"run={path}", f"output_dir={tmp_path}/elsewhere")
    assert (path / "status.json").read_bytes() == status
    assert not (tmp_path / "elsewhere/artifacts/test_errors.json").exists()
