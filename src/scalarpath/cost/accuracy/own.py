"""``train.py`` of scalarpath, started as a command like the others."""

from __future__ import annotations

import csv
import json
import shlex
from typing import Any

from scalarpath.core.metrics import metric_name
from scalarpath.cost.accuracy.frames import KEYS
from scalarpath.cost.accuracy.task import Errors, Task
from scalarpath.cost.training import PROGRAM

DEFAULT = "default"
"""The recipe that changes nothing; others are settings of train.py, with blanks between them."""


def command(task: Task) -> list[str]:
    """Everything at its default but the data, the epochs, the seed and what the recipe says."""
    arm, parts = task.arm, task.parts
    given: dict[str, Any] = {
        "backbone": arm.backbone,
        "data": "extxyz",
        "data.path": parts.files["train"],
        "data.valid_path": parts.files["valid"],
        "data.test_path": parts.files["test"],
        **{f"data.{q}_key": KEYS[q] for q in parts.quantities},
        "data.batch_size": task.batch_size,
        "data.cache": "false",  # no run takes the neighbour lists of another one
        "data.e0s": task.e0s if isinstance(task.e0s, str) else json.dumps(task.e0s).replace('"', ""),
        "dtype": task.dtype,
        "seed": arm.seed,
        "trainer.max_epochs": arm.epochs,
        "measure_overhead": "false",
        "figures": "false",
        "evaluate_train_frames": 0,
        "callbacks.progress.style": "none",
        "output_dir": task.folder / "run",
    }
    return [task.python, "-c", PROGRAM, *(f"{key}={value}" for key, value in given.items()), *_settings(task)]


def _settings(task: Task) -> list[str]:
    return [] if task.arm.recipe == DEFAULT else shlex.split(task.arm.recipe)


def epochs(task: Task) -> list[dict[str, float]]:
    """From metrics.csv of the run."""
    steps = -(-task.parts.sizes["train"] // task.batch_size)
    return [
        {"epoch": int(row["epoch"]), "steps": int(row["epoch"]) * steps, **_errors(task, row, "val")}
        for row in _rows(task)
    ]


def final(task: Task) -> dict[str, Errors]:
    """Errors of the best epoch: the validation's from metrics.csv, those of the test from summary.json."""
    summary = json.loads((task.folder / "run" / "summary.json").read_text())
    best = next(row for row in _rows(task) if int(row["epoch"]) == summary["best_epoch"])
    return {"valid": _errors(task, best, "val"), "test": _errors(task, summary, "test")}


def _rows(task: Task) -> list[dict[str, str]]:
    file = task.folder / "run" / "metrics.csv"
    return list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []


def _errors(task: Task, row: Any, part: str) -> Errors:
    return {metric_name(q): float(row[f"{part}/{metric_name(q)}"]) for q in task.parts.quantities}
