"""Sweeps with real trainings: on several processes at a time, through submitit, with Optuna, and after a kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pytest
import yaml

ROOT = Path(__file__).parents[2]
SWEEP = (
    "-m", "experiment=smoke", "measure_overhead=false", "trainer.max_epochs=1", "callbacks.progress.style=none",
    "hydra.sweep.dir=sweep",
)  # fmt: skip


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    environment.pop("OMP_NUM_THREADS", None)  # a sweep divides the threads itself
    command = [sys.executable, str(ROOT / "train.py"), *SWEEP, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, start_new_session=True, **pipes)


def train(*arguments: str, cwd: Path) -> str:
    """Output of a sweep that must end well."""
    with start(*arguments, cwd=cwd) as process:
        output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    return output


def runs(cwd: Path) -> list[Path]:
    return sorted(path.parent for path in cwd.glob("sweep/*/summary.json"))


@pytest.mark.slow
def test_joblib_runs_jobs_at_a_time_without_asking_for_more_threads_than_cores(tmp_path: Path) -> None:
    joined = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "trainer.threads=null")
    train(*joined, "seed=0,1", cwd=tmp_path)
    threads = [json.loads((run / "provenance.json").read_text())["machine"]["threads"] for run in runs(tmp_path)]
    assert threads == [max(1, joblib.cpu_count() // 2)] * 2
    before = {run: (run / "summary.json").read_bytes() for run in runs(tmp_path)}
    output = train(*joined, "seed=0,1,2", cwd=tmp_path)
    assert "sweep: 1 finished, 2 skipped" in output
    assert len(runs(tmp_path)) == 3
    assert {run: (run / "summary.json").read_bytes() for run in before} == before


@pytest.mark.slow
def test_submitit_runs_the_jobs(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    assert "sweep: 2 finished" in train("hydra/launcher=submitit_local", "seed=0,1", cwd=tmp_path)
    assert "sweep: 2 skipped" in train("hydra/launcher=submitit_local", "seed=0,1", cwd=tmp_path)


@pytest.mark.slow
def test_optuna_minimises_the_best_validation_value_and_proposes_the_same_again(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    monitor = "val/forces_mae_meV_A"
    tuning = ("hydra/sweeper=tuning", "hydra.sweeper.n_trials=2", f"callbacks.checkpoint.monitor={monitor}")
    train(*tuning, cwd=tmp_path)
    values = [json.loads((run / "summary.json").read_text())[f"best/{monitor}"] for run in runs(tmp_path)]
    assert len(values) == 2
    found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert found["best_value"] == pytest.approx(min(values))
    output = train(*tuning, "hydra.sweeper.n_trials=3", cwd=tmp_path)
    assert "sweep: 1 finished, 2 skipped" in output


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    jobs = ("seed=0,1", "trainer.max_epochs=40")
    sweep = start(*jobs, cwd=tmp_path)
    wait_for(tmp_path, "sweep/si_mace_baseline_s0_*/checkpoints/last.ckpt")
    os.kill(sweep.pid, signal.SIGKILL)
    assert sweep.wait(60) == -signal.SIGKILL
    (run,) = tmp_path.glob("sweep/si_*")
    trainer = json.loads((run / "status.json").read_text())["pid"]
    deadline = time.monotonic() + 20
    while Path(f"/proc/{trainer}").exists():
        assert time.monotonic() < deadline, "the job outlives its sweep"
        time.sleep(0.1)
    done = len((run / "metrics.csv").read_text().splitlines()) - 1
    assert 1 <= done < 40
    output = train(*jobs, cwd=tmp_path)
    assert "sweep: 1 finished, 1 resumed" in output
    for path in runs(tmp_path):
        rows = (path / "metrics.csv").read_text().splitlines()[1:]
        assert [int(row.split(",")[0]) for row in rows] == list(range(1, 41))


def wait_for(cwd: Path, pattern: str) -> None:
    deadline = time.monotonic() + 200
    while not list(cwd.glob(pattern)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
