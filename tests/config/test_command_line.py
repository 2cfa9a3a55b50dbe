"""train.py as a user meets it: fast help, one-line errors, exit codes, sweeps."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from command_line import train_py as train

SMOKE = ("experiment=smoke", "measure_overhead=false", "trainer.max_epochs=1")


def test_help_is_instant_and_lists_every_group(tmp_path: Path) -> None:
    start = time.perf_counter()
    result = train("--help", cwd=tmp_path)
    assert time.perf_counter() - start < 5.0  # a second or so on an idle machine; importing torch and Lightning is 6
    assert result.returncode == 0
    for group in ("backbone", "head", "data", "loss", "optimizer", "scheduler", "trainer", "logger", "callbacks"):
        assert f"{group}: " in result.stdout


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+sede=1", "error: config has no setting 'sede'"),
        ("optimizer.lr=0", "error: optimizer.lr must be greater than 0"),
        (
            "data.split=randm",
            "error: data.split must be one of random, blocks, groups, file, not 'randm'",
        ),
        ("optimizer.learning_rate=0.1", "error: optimizer has no setting 'learning_rate'; known settings: amsgrad, "),
        ("hydra.run.dir=here", "error: hydra.run.dir cannot be set: the run directory is output_dir="),
        ("resume=nowhere", "error: nowhere: there is no run in this directory"),
        (
            "head=[panpgs,pan]",
            "error: head=[panpgs,pan]: one option is meant, not a list; for a job with each: -m head=panpgs,pan.",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2_and_leaves_nothing(tmp_path: Path, override: str, message: str) -> None:
    result = train(override, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_terminal_without_all_letters_gets_plain_ones(tmp_path: Path) -> None:
    result = train(*SMOKE, f"output_dir={tmp_path / 'run'}", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "meV/A3" in result.stdout
    assert result.stdout.isascii()


def test_resume_takes_no_other_settings(tmp_path: Path) -> None:
    result = train("resume=somewhere", "seed=3", cwd=tmp_path)
    assert result.returncode == 2
    assert "remove 'seed=3'" in result.stderr


def test_an_unusable_output_directory_is_one_line_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = train(*SMOKE, "output_dir=file/run", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: output_dir = file/run cannot be used")
    assert result.stdout == "mace x baseline on si, seed 0: file/run\n"


def test_a_failing_job_of_a_sweep_is_reported_and_does_not_stop_the_others(tmp_path: Path) -> None:
    result = train(
        "--multirun", *SMOKE, "trainer.gradient_clip=0,10", "hydra.sweep.dir=sweep", "seed=4", cwd=tmp_path
    )  # fmt: skip
    assert result.returncode != 0
    assert "error: trainer.gradient_clip must be greater than 0" in result.stderr
    assert "Traceback" not in result.stderr
    (run,) = (path.parent.name for path in tmp_path.glob("sweep/*/summary.json"))
    assert run.startswith("si_mace_baseline_s4_")


def test_wandb_without_key_or_terminal_neither_asks_nor_fails(tmp_path: Path) -> None:
    result = train(*SMOKE, "logger=wandb", "output_dir=run", cwd=tmp_path, WANDB_API_KEY="", NETRC=str(tmp_path / "no"))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "summary.json").exists()
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))
