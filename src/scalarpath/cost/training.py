"""Where the time of a whole training goes: ``python train.py`` in a process of its own, with its stopwatch on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from scalarpath.core.errors import TrainingError
from scalarpath.core.stopwatch import FIRST, TIMES
from scalarpath.core.terminal import add_columns
from scalarpath.cost.output import write_result
from scalarpath.cost.settings import BenchmarkSettings, TrainingSettings

PROGRAM = "from scalarpath.cli import train; train()"
STEP, BETWEEN, VALIDATION, EPOCH = "step", "between steps", "validation", "end of an epoch"
BEFORE, AFTER = "before the fit", "after the fit"


class Part(NamedTuple):
    """What parts of the stopwatch are together: ``of`` the whole, by its name here, and which names it takes."""

    of: str
    name: str
    pattern: str


# The first pattern that fits decides. Names of hooks are those of Lightning's profiler.
PARTS = (
    Part(BEFORE, "python, hydra", re.escape(FIRST)),
    Part(BEFORE, "settings, try-out of the networks", "settings"),
    Part(BEFORE, "imports", "imports"),
    Part(BEFORE, "data", "data"),
    Part(BEFORE, "model, first batch, kernels", "model"),
    Part(BEFORE, "run directory", "run directory"),
    Part(AFTER, "test", "test"),
    Part(AFTER, "cost of the head", "cost of the head"),
    Part(AFTER, "summary, end of the process", "end"),
    Part(STEP, "forward, forces, loss, errors", r".*\.training_step"),
    Part(STEP, "backward", r"\[Strategy\].*\.backward"),
    Part(STEP, "gradient to zero", r".*\.optimizer_zero_grad"),
    Part(STEP, "gradient norm, clipping", r".*\.configure_gradient_clipping"),
    Part(STEP, "optimizer", r".*\.optimizer_step"),
    Part(VALIDATION, "forward, forces, errors", r".*\.validation_step"),
    Part(VALIDATION, "next batch", r".*\.val_next"),
    Part(VALIDATION, "errors of the epoch", r".*\.on_validation_epoch_end"),
    Part(VALIDATION, "other hooks", r".*validation.*|\[_EvaluationLoop\].*|.*val_dataloader"),
    Part(EPOCH, "checkpoint", r".*save_checkpoint|.*BestAndLast\.on_train_epoch_end"),
    Part(EPOCH, "metrics.csv", r".*MetricsCsv\.on_train_epoch_end"),
    Part(EPOCH, "Lightning, memory of the steps given back", "run_training_epoch"),
    Part(EPOCH, "other hooks", r".*_epoch_(start|end)"),
    Part(BETWEEN, "next batch", r".*\.train_dataloader_next"),
    Part(BETWEEN, "batch to its device", r".*(batch_to_device|batch_transfer)"),
    Part(BETWEEN, "Lightning", "run_training_batch"),
    Part(BETWEEN, "schedule", r".*\.lr_scheduler_step"),
    Part(BETWEEN, "weight average", r".*Ema\.on_train_batch_end"),
    Part(BETWEEN, "check for NaN", r".*FiniteGuard\.on_train_batch_end"),
    Part(BETWEEN, "log of the epoch's errors", r"\[LightningModule\].*\.on_train_batch_end"),
    Part(BETWEEN, "other hooks", r".*(batch_start|batch_end|_backward|before_zero_grad|before_optimizer_step)"),
    Part(BEFORE, "start of the fit", ".*"),
)


def run(settings: BenchmarkSettings) -> dict[str, Any]:
    """Train once, print where the CPU time went and write it as JSON; returns what was written.

    Raises TrainingError when the training fails.
    """
    training, threads = settings.training, settings.threads[0]
    times = stopwatch_of_training(settings)
    steps, epochs = (_runs(times, pattern) for pattern in (r".*\.training_step", "run_training_epoch"))
    parts = grouped(times)
    result = {
        "suite": "training",
        **{key: getattr(training, key) for key in TrainingSettings.__annotations__},
        "dtype": settings.dtype,
        "threads": threads,
        "steps": steps,
        "epochs": epochs,
        "cpu_s": parts,
        "hooks": times,
    }
    write_result(settings, result, _table(parts, steps, epochs, times))
    return result


def stopwatch_of_training(settings: BenchmarkSettings) -> dict[str, list[float]]:
    """CPU seconds, seconds and runs of every part of one training with these settings."""
    training = settings.training
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times.json"
        chosen = {
            "backbone": training.backbone,
            "head": training.head,
            "data": training.data,
            "optimizer": training.optimizer,
            "trainer.max_epochs": training.max_epochs,
            "trainer.threads": settings.threads[0],
            "dtype": settings.dtype,
            "seed": settings.seed,
            "output_dir": Path(folder) / "run",
        }
        command = [sys.executable, "-c", PROGRAM, *(f"{key}={value}" for key, value in chosen.items())]
        environment = {**os.environ, TIMES: str(file)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TrainingError(f"the training failed: {done.stderr.strip() or done.returncode}")
        return dict(json.loads(file.read_text(encoding="utf-8")))


def grouped(times: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """CPU seconds by ``Part.of`` and ``Part.name``; the order is that of PARTS."""
    result: dict[str, dict[str, float]] = {}
    for part in PARTS:
        result.setdefault(part.of, {}).setdefault(part.name, 0.0)
    for name, (cpu, *_) in times.items():
        part = next(part for part in PARTS if re.fullmatch(part.pattern, name))
        result[part.of][part.name] += cpu
    return result


def _runs(times: Mapping[str, list[float]], pattern: str) -> int:
    return sum(int(count) for name, (_, _, count) in times.items() if re.fullmatch(pattern, name))


def _table(
    parts: Mapping[str, Mapping[str, float]], steps: int, epochs: int, times: Mapping[str, list[float]]
) -> Table:
    cpu, wall = (sum(values[k] for values in times.values()) for k in (0, 1))
    table = Table(
        title=f"CPU time of a training of {epochs} epochs, {steps} steps: {cpu:.1f} s (of {wall:.1f} s on the clock)"
    )
    add_columns(table, "part", "CPU s", "ms each", "% of steps", words=("part",))
    of_steps = sum(parts[STEP].values())
    each = {STEP: steps, BETWEEN: steps, VALIDATION: epochs, EPOCH: epochs}
    for whole, values in parts.items():
        for name, seconds in ((f"[bold]{whole}", sum(values.values())), *values.items()):
            style = name if name.startswith("[") else f"  {name}"
            one = f"{1e3 * seconds / each[whole]:.2f}" if each.get(whole) else ""
            share = f"{100 * seconds / of_steps:.1f}" if whole in each else ""
            table.add_row(style, f"{seconds:.2f}", one, share)
        table.add_section()
    return table
