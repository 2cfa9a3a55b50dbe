"""Run directories: never half-written, never taken for finished when they are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalarpath.core.errors import CheckpointError, ConfigError, TrainingError
from scalarpath.runs.processes import is_first_process, shared_directory
from scalarpath.runs.run_directory import RunDirectory


def with_epoch(path: Path) -> RunDirectory:
    """The directory of a run that has finished an epoch."""
    directory = RunDirectory.create(path)
    directory.write_text("config.yaml", "seed: 0\n")
    (directory.checkpoints / "last.ckpt").write_bytes(b"weights")
    return directory


def test_a_run_is_finished_when_and_only_when_summary_json_exists(tmp_path: Path) -> None:
    directory = with_epoch(tmp_path / "run")
    assert not directory.is_finished
    directory.finish({"test/forces_mae_meV_A": 1.0})
    assert directory.is_finished
    assert directory.read_json("status.json")["state"] == "finished"


def test_a_summary_that_json_cannot_hold_leaves_the_run_unfinished(tmp_path: Path) -> None:
    directory = with_epoch(tmp_path / "run")
    with pytest.raises(ValueError, match="not JSON compliant"):
        directory.finish({"test/forces_mae_meV_A": float("nan")})
    assert not directory.is_finished
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_directory_that_holds_anything_is_not_used(tmp_path: Path) -> None:
    finished, unfinished, foreign = (tmp_path / name for name in ("finished", "unfinished", "foreign"))
    with_epoch(finished).finish({})
    with_epoch(unfinished)
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    for path, message in ((finished, "finished run"), (unfinished, "use resume="), (foreign, "not empty")):
        with pytest.raises(ConfigError, match=message):
            RunDirectory.create(path)
    assert (foreign / "thesis.tex").exists()


def test_an_unusable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"output_dir = .*file/run cannot be used: .*; choose another one\.$"):
        RunDirectory.create(tmp_path / "file" / "run")


@pytest.mark.parametrize("error", [TrainingError("loss is NaN"), KeyboardInterrupt(), RuntimeError("bug")])
def test_a_run_that_fails_in_its_first_epoch_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), shared_directory(tmp_path / "run", resume=False):
        raise error
    assert not (tmp_path / "run").exists()


def test_a_run_that_fails_later_says_so_and_keeps_its_checkpoints(tmp_path: Path) -> None:
    def job() -> None:
        with shared_directory(tmp_path / "run", resume=False) as directory:
            (directory.checkpoints / "last.ckpt").write_bytes(b"weights")
            raise TrainingError("loss is NaN")

    with pytest.raises(TrainingError):
        job()
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["error"]) == ("failed", "loss is NaN")
    assert not RunDirectory(tmp_path / "run").is_finished


def test_only_an_unfinished_run_with_an_epoch_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run in this directory"):
        RunDirectory.reopen(tmp_path)
    begun = RunDirectory.create(tmp_path / "begun")
    begun.write_text("config.yaml", "seed: 0\n")
    with pytest.raises(CheckpointError, match="no epoch of this run was finished"):
        RunDirectory.reopen(begun.path)
    done = with_epoch(tmp_path / "done")
    done.finish({"stopped_by": "max_epochs"})
    with pytest.raises(CheckpointError, match="finished, there is nothing to continue"):
        RunDirectory.reopen(done.path)
    assert done.is_finished
    assert RunDirectory.reopen(with_epoch(tmp_path / "cut").path).read_json("status.json")["state"] == "running"


def test_a_run_that_ran_out_of_time_can_be_resumed_and_is_then_unfinished(tmp_path: Path) -> None:
    directory = with_epoch(tmp_path / "run")
    directory.finish({"stopped_by": "max_time"})
    assert not RunDirectory.reopen(directory.path).is_finished


def test_the_other_processes_of_a_job_find_the_directory_of_the_first(tmp_path: Path, monkeypatch) -> None:
    with shared_directory(tmp_path / "run", resume=False) as first:
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert not is_first_process()
        with shared_directory(tmp_path / "another_time_of_day", resume=False) as second:
            assert second.path == first.path
        monkeypatch.delenv("LOCAL_RANK")
    assert not (tmp_path / "another_time_of_day").exists()
