"""Several processes train what one process trains."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parents[2]
ARGUMENTS = (
    "experiment=smoke", "dtype=float64", "head=panpgs", "data.batch_size=4", "measure_overhead=false",
    "callbacks.progress.style=none",
)  # fmt: skip


def train(*arguments: str, cwd: Path) -> None:
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == 0, result.stderr


def metrics(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    train(*ARGUMENTS, "output_dir=one", cwd=tmp_path)
    train(*ARGUMENTS, "trainer=ddp_cpu", "output_dir=two", cwd=tmp_path)
    one, two = (torch.load(tmp_path / d / "checkpoints/last.ckpt", weights_only=True) for d in ("one", "two"))
    for name, weight in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], weight, rtol=1e-6, atol=1e-9)
    for row, other in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        for column in row:
            if not column.startswith("time/"):
                assert float(other[column]) == pytest.approx(float(row[column]), rel=1e-6), column
    assert (tmp_path / "two" / "summary.json").exists()


@pytest.mark.slow
def test_a_sweep_over_several_processes_runs_every_job_in_its_own_processes(tmp_path: Path) -> None:
    """Without an output_dir the processes of a job still write to one directory."""
    train("--multirun", *ARGUMENTS, "trainer=ddp_cpu", "seed=0,1", "hydra.sweep.dir=sweep", cwd=tmp_path)
    runs = sorted(path.parent for path in tmp_path.glob("sweep/*/summary.json"))
    assert [run.name for run in runs] == ["0_si_mace_panpgs_s0", "1_si_mace_panpgs_s1"]
    assert [yaml.safe_load((run / "config.yaml").read_text())["seed"] for run in runs] == [0, 1]
    assert not (tmp_path / "outputs").exists()
