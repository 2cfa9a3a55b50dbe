"""Run directories: never half-written, never taken for finished when they are not."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scalarpath.core.errors import CheckpointError, ConfigError, TrainingError
from scalarpath.runs.job import Job, stored_config
from scalarpath.runs.processes import shared_directory
from scalarpath.runs.ranks import is_first_process
from scalarpath.runs.run_directory import MARK, RESULTS, RunDirectory


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


STATUS = {"state": "running", "pid": 1, "error": None}  # as written before there was a mark


@pytest.mark.parametrize(
    "status",
    ["{}", "done", '{"state": "running"}', '["running"]', json.dumps({**STATUS, "program": "other", "schema": 1})],
)
def test_a_status_of_another_program_gives_no_right_to_remove_anything(tmp_path: Path, status: str) -> None:
    (tmp_path / "status.json").write_text(status)
    (tmp_path / "config.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty \(config.yaml\)"), shared_directory(tmp_path, resume=False):
        raise AssertionError
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "status.json": status,
        "config.yaml": "mine",
    }


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("name", ["thesis.tex", "checkpoints/of_others.ckpt", "tensorboard/notes.txt", "wandb_2/a"])
def test_what_a_run_does_not_write_stays_even_beside_a_run_that_was_killed(
    tmp_path: Path, name: str, marked: bool
) -> None:
    killed = RunDirectory.create(tmp_path)
    killed.write_text("config.yaml", "seed: 0\n")
    if not marked:
        killed.write_json("status.json", STATUS)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"is not empty \\({name}\\); choose another one"):
        RunDirectory.create(tmp_path)
    assert (tmp_path / "config.yaml").exists()
    assert (tmp_path / name).exists()


def test_a_folder_behind_a_link_is_not_touched(tmp_path: Path) -> None:
    run, elsewhere = RunDirectory.create(tmp_path / "run"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "last.ckpt.part").touch()
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=r"is not empty \(checkpoints\)"):
        RunDirectory.create(run.path)
    run.fail("bug")
    assert (elsewhere / "last.ckpt.part").exists()


def test_a_run_that_fails_in_its_first_epoch_leaves_what_others_put_there(tmp_path: Path) -> None:
    def job() -> None:
        with shared_directory(tmp_path / "run", resume=False) as directory:
            (directory.path / "notes.txt").touch()
            directory.write_json("logger.json", {"wandb_id": "ab12"})
            for name in ("offline-run-2026-ab12/files/output.log", "run-2025-zz99/files/output.log"):
                (directory.path / "wandb" / name).parent.mkdir(parents=True)
                (directory.path / "wandb" / name).touch()
            raise TrainingError("loss is NaN")

    with pytest.raises(TrainingError):
        job()
    left = sorted(path.relative_to(tmp_path / "run").as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["notes.txt", "wandb/run-2025-zz99/files/output.log"]


@pytest.mark.parametrize("part", [None, "", '{\n  "program": "sca', json.dumps({**MARK, **STATUS}, indent=2)])
def test_a_kill_before_the_first_status_does_not_block_the_directory(tmp_path: Path, part: str | None) -> None:
    (tmp_path / ".lock").write_text("process 1 on node")
    (tmp_path / "checkpoints").mkdir()
    if part is not None:
        (tmp_path / "status.json.part").write_text(part)
    with shared_directory(tmp_path, resume=False) as directory:
        assert directory.read_json("status.json")["state"] == "running"


def test_a_run_killed_before_there_was_a_mark_is_begun_anew(tmp_path: Path) -> None:
    killed = RunDirectory.create(tmp_path)
    killed.write_json("status.json", STATUS)
    killed.write_text("splits.json", "{}")
    assert not (RunDirectory.create(tmp_path).path / "splits.json").exists()


def test_readers_and_the_next_job_see_that_a_run_has_died(tmp_path: Path, capsys) -> None:
    directory = with_epoch(tmp_path)
    assert directory.state == "running"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    status = directory.read_json("status.json")
    directory.write_json("status.json", {**status, "pid": gone.pid, "host": "elsewhere"})
    assert directory.state == "running", "of another machine nothing is known"
    directory.write_json("status.json", {**status, "pid": gone.pid})
    assert directory.state == "died"
    with shared_directory(tmp_path, resume=True):
        pass
    assert "was left by a process that is gone without a word; it is taken over" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch) -> None:
    def job() -> None:
        with shared_directory(tmp_path / "run", resume=False) as directory:
            directory.write_text("config.yaml", "seed: 0\n")
            (directory.checkpoints / "last.ckpt").write_bytes(b"weights")
            with monkeypatch.context() as full:
                full.setattr(os, "replace", no_room)
                directory.finish({})

    def no_room(*paths: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    words = (
        rf"{tmp_path / 'run'}: no room is left on the disk .*; make room, then go on with resume={tmp_path / 'run'}\.$"
    )
    with pytest.raises(ConfigError, match=words):
        job()
    assert RunDirectory(tmp_path / "run").state == "failed"
    assert not list((tmp_path / "run").rglob("*.part"))


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
    resumed = RunDirectory.reopen(directory.path)
    resumed.begin()
    assert not resumed.is_finished
    assert resumed.read_json("summary.json") == {"stopped_by": "max_time"}, "it stays until the next one is there"
    resumed.finish({"stopped_by": "max_epochs"})
    assert resumed.is_complete


@pytest.mark.parametrize("error", [TrainingError("no GPU"), KeyboardInterrupt(), RuntimeError("W&B")])
def test_a_run_that_cannot_go_on_stays_as_it_was(tmp_path: Path, error: BaseException) -> None:
    directory = with_epoch(tmp_path / "run")
    directory.finish({"stopped_by": "max_time"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(type(error)), shared_directory(directory.path, resume=True):
        raise error
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert directory.is_finished


def test_the_other_processes_of_a_job_find_the_directory_of_the_first(tmp_path: Path, monkeypatch) -> None:
    with shared_directory(tmp_path / "run", resume=False) as first:
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert not is_first_process()
        with shared_directory(tmp_path / "another_time_of_day", resume=False) as second:
            assert second.path == first.path
        monkeypatch.delenv("LOCAL_RANK")
    assert not (tmp_path / "another_time_of_day").exists()


@pytest.mark.parametrize("name", RESULTS)
def test_a_finished_run_knows_when_one_of_its_files_was_changed(tmp_path: Path, name: str) -> None:
    directory = with_epoch(tmp_path / "run")
    for other in RESULTS:
        (directory.path / other).write_text("seed: 0\n")
    directory.finish({"test/forces_mae_meV_A": 1.0})
    directory.check_results()
    whole = (directory.path / name).read_bytes()
    (directory.path / name).write_bytes(whole[:3] + bytes([whole[3] ^ 1]) + whole[4:])
    with pytest.raises(CheckpointError, match=rf"{name} has changed since the run was finished"):
        directory.check_results()
    (directory.path / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read .*the run is damaged"):
        directory.check_results()


@pytest.mark.parametrize("content", [b"", b"null\n", b"[1, 2]\n", b"- a\nb: {", b"seed: \xff\xfe", b"3"])
def test_a_damaged_configuration_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config.yaml (cannot be read|holds no settings).*; the run is damaged"):
        Job.of_run(tmp_path)


def test_half_a_configuration_is_the_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\ndtype: float32\n")
    with pytest.raises(CheckpointError, match=r"config.yaml: .*lacks the setting"):
        Job.of_run(tmp_path)


def test_a_stored_configuration_cannot_read_the_environment(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "a key")
    (tmp_path / "config.yaml").write_text("logger: {wandb: {name: '${oc.env:SECRET}'}}\n")
    assert stored_config(tmp_path)["logger"]["wandb"]["name"] == "${oc.env:SECRET}"
