"""kill -9 at any moment: the run goes on to the same weights, one metrics.csv and one W&B run."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from interrupted_training import TIMES, assert_same

ROOT = Path(__file__).parents[2]
TRAINING = Path(__file__).with_name("killed_training.py")
KILLS = 20


def start(path: Path, wandb: bool) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(TRAINING), str(path), "wandb" if wandb else "csv"]
    return subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def newest_change(path: Path) -> int:
    """When a checkpoint was last written or begun, in ns."""
    times = [0]
    for name in ("last.ckpt", "last.ckpt.part"):
        with suppress(FileNotFoundError):
            times.append((path / "checkpoints" / name).stat().st_mtime_ns)
    return max(times)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_weights_of_the_uninterrupted_run(tmp_path: Path) -> None:
    """Of five kills two come while a checkpoint is written or moved, two in an epoch, one anywhere from the start."""
    draw = random.Random(0)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(whole, wandb=False).wait() == 0

    kills, in_writing, runs = 0, 0, set()
    while kills < KILLS:
        process = start(cut, wandb=True)
        before = newest_change(cut)
        while kills % 5 and newest_change(cut) == before and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(draw.uniform(0.0, (6.0, 0.003, 0.4, 0.003, 0.4)[kills % 5]))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        in_writing += any(cut.glob("checkpoints/*.part"))
        if (cut / "logger.json").exists():
            runs.add(json.loads((cut / "logger.json").read_text())["wandb_id"])
    assert kills == KILLS, "the training is too short for so many kills"
    assert in_writing > 0
    assert start(cut, wandb=True).wait() == 0

    assert rows(cut) == rows(whole)
    assert [int(row["epoch"]) for row in rows(cut)] == list(range(1, len(rows(whole)) + 1))
    for name in ("best.ckpt", "last.ckpt"):
        checkpoints = [torch.load(path / "checkpoints" / name, weights_only=True) for path in (whole, cut)]
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "potential"):
            assert_same(*(checkpoint[key] for checkpoint in checkpoints), where=f"{name}/{key}")
    assert not list(cut.glob("checkpoints/*.part"))
    assert len(runs) == 1
    folders = list(cut.glob("wandb/offline-run-*"))
    assert len(folders) > 1
    assert {folder.name.rsplit("-", 1)[1] for folder in folders} == runs
