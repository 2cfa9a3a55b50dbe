"""Median time of a training step and of waiting for data, and the share of the wait."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytorch_lightning as pl
import torch

from scalarpath.training.job import StepTimerSettings


class StepTimer(pl.Callback):
    """Logs ``time/step_ms``, ``time/data_ms`` (medians over the epoch), ``time/data_share`` and ``time/epoch_s``.

    A step is forward, backward and update; data is the wait between two steps, in which the other callbacks act too;
    the share is all the waiting over all the time of the epoch's steps and waits, between 0 and 1. Values are means
    over processes. CUDA is synchronised around each step. The first steps of a launch (compilation, caches) are left
    out. ``summary`` has the same over all steps.
    """

    def __init__(self, settings: StepTimerSettings) -> None:
        self.warmup_steps = settings.warmup_steps
        self._seen = 0
        self._marks = {"step": 0.0, "data": 0.0, "epoch": 0.0}
        self._epoch: dict[str, list[float]] = {"step": [], "data": []}
        self._all: dict[str, list[float]] = {"step": [], "data": []}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clocks of an epoch."""
        self._marks["data"] = self._marks["epoch"] = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The data has arrived, the step begins."""
        now = _synchronised(pl_module)
        self._add("data", now)
        self._marks["step"] = now

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step has ended, the wait for data begins."""
        now = _synchronised(pl_module)
        self._add("step", now)
        self._marks["data"] = now
        self._seen += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the figures of the epoch."""
        values = _figures(self._epoch)
        values["time/epoch_s"] = time.perf_counter() - self._marks["epoch"]
        pl_module.log_dict(values, on_step=False, on_epoch=True, batch_size=1, sync_dist=True)
        for times in self._epoch.values():
            times.clear()

    def summary(self) -> dict[str, float]:
        """Figures of all steps of this launch after the warm-up, and how many steps that were."""
        return _figures(self._all) | {"time/timed_steps": len(self._all["step"])}

    def _add(self, part: str, now: float) -> None:
        if self._seen >= self.warmup_steps:
            for store in (self._epoch, self._all):
                store[part].append(now - self._marks[part])


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
