"""A training in several processes against the same training in one, on the GPUs that there are."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from scalarpath.core.errors import TrainingError
from scalarpath.core.interpreters import last_line
from scalarpath.cost.gpu.rows import Row
from scalarpath.cost.training import PROGRAM

LIMIT = 1e-6  # of the validation loss after the last epoch, relative, in float64
TRAINING = (
    "experiment=smoke", "optimizer=adamw", "dtype=float64", "data.batch_size=4", "evaluate_test=false",
    "callbacks.progress.style=none", "measure_overhead=false",
)  # fmt: skip
"""Silicon, ten frames, two epochs."""


def planned_rows(device: str) -> list[Row]:
    """The one row."""
    name = f"nccl, {_processes(device)} GPU(s)" if device.startswith("cuda") else "gloo, 2 processes"
    return [{"part": "ddp", "backbone": "mace", "head": "panpgs", "mode": name}]


def distributed_rows(setting: Mapping[str, Any]) -> Iterator[Row]:
    """Train in one process and in several; their validation losses have to agree.

    With one GPU the several are one, which goes through all of DistributedDataParallel but the exchange.
    """
    gpu = setting["device"].startswith("cuda")
    processes = _processes(setting["device"])
    several = ["trainer=ddp", f"trainer.devices={processes}"] if gpu else ["trainer=ddp_cpu"]
    losses, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"  # a file, which Lightning starts again for further processes
        script.write_text(PROGRAM)
        for name, trainer in (("one", ["trainer=gpu" if gpu else "trainer=cpu"]), ("several", several)):
            start = time.perf_counter()
            losses[name] = _trained(script, Path(folder) / name, [*TRAINING, "head=panpgs", *trainer])
            seconds[f"{name}_s"] = time.perf_counter() - start
    difference = abs(losses["several"] - losses["one"]) / abs(losses["one"])
    checks = {"validation loss as in one process": (difference, LIMIT)}
    yield {**planned_rows(setting["device"])[0], "passed": difference <= LIMIT, "checks": checks, **seconds}


def _processes(device: str) -> int:
    return torch.cuda.device_count() if device.startswith("cuda") else 2


def _trained(script: Path, directory: Path, settings: list[str]) -> float:
    """The validation loss of the last epoch; raises TrainingError when the training fails."""
    command = [sys.executable, str(script), *settings, f"output_dir={directory}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrainingError(f"train.py {settings[-1]}: {last_line(done)}")
    with (directory / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return float(list(csv.DictReader(file))[-1]["val/loss"])
