"""Median time of a training step and of waiting for data, and the share of the wait."""

from __future__ import annotations

import statistics
import time
from typing import Any, cast

import pytorch_lightning as pl
import torch

from scalarpath.data.timed_loader import TimedLoader
from scalarpath.runs.sections import StepTimerSettings


class StepTimer(pl.Callback):
    """Logs ``time/step_ms``, ``time/data_ms`` (medians over the epoch), ``time/data_share`` and ``time/epoch_s``.

    A step is forward, backward and update; data is the wait for the loader's next batch (a TimedLoader); the share is
    all the waiting over all the time of the epoch's steps and waits, between 0 and 1. What Lightning and the other
    callbacks do between two steps is in neither. Values are means over processes. CUDA is synchronised around each
    step. The first steps of a launch (compilation, caches) are left out. ``summary`` has the same over all steps.
    """

    def __init__(self, settings: StepTimerSettings) -> None:
        self.warmup_steps = settings.warmup_steps
        self._seen = 0
        self._marks = {"step": 0.0, "waited": 0.0, "epoch": 0.0}
        self._epoch: dict[str, list[float]] = {"step": [], "data": []}
        self._all: dict[str, list[float]] = {"step": [], "data": []}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clocks of an epoch."""
        self._marks["epoch"] = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The data has arrived, the step begins."""
        waited = cast(TimedLoader, trainer.train_dataloader).waited
        self._add("data", waited - self._marks["waited"])
        self._marks["waited"], self._marks["step"] = waited, _synchronised(pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step has ended."""
        self._add("step", _synchronised(pl_module) - self._marks["step"])
        self._seen += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the figures of the epoch."""
        values = _figures(self._epoch)
        values["time/epoch_s"] = time.perf_counter() - self._marks["epoch"]
        cast(Any, pl_module).note(values)
        for times in self._epoch.values():
            times.clear()

    def summary(self) -> dict[str, float]:
        """Figures of all steps of this launch after the warm-up, and how many steps that were."""
        return _figures(self._all) | {"time/timed_steps": len(self._all["step"])}

    def _add(self, part: str, seconds: float) -> None:
        if self._seen >= self.warmup_steps:
            for store in (self._epoch, self._all):
                store[part].append(seconds)


def _figures(times: dict[str, list[float]]) -> dict[str, float]:
    """Medians in ms and the share of waiting; empty without a step."""
    if not times["step"]:
        return {}
    data, step = sum(times["data"]), sum(times["step"])
    medians = {f"time/{part}_ms": 1e3 * statistics.median(x) for part, x in times.items()}
    return medians | {"time/data_share": data / (data + step)}


def _synchronised(pl_module: pl.LightningModule) -> float:
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()
