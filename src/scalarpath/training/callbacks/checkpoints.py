"""Checkpoints: the best and the last epoch, written atomically."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from scalarpath.core.errors import TrainingError
from scalarpath.core.files import removed_on_failure
from scalarpath.runs.sections import CheckpointSettings

BEST, LAST = "best.ckpt", "last.ckpt"


class BestAndLast(pl.callbacks.Checkpoint):
    """Writes ``last.ckpt`` at the end of every epoch, and the same file as ``best.ckpt`` when ``monitor`` is lowest.

    With ``tested`` "last" every epoch counts as the best one so far.

    A file appears under its name only when it is complete. It is a Lightning checkpoint (plain values and tensors, so
    ``torch.load(weights_only=True)`` reads it) with the potential as used for validation under ``potential``.
    """

    def __init__(self, settings: CheckpointSettings, directory: Path) -> None:
        self.settings = settings
        self.directory = directory
        self.best = math.inf
        self.best_epoch = -1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoints; this runs after all other callbacks of the epoch."""
        value = float(trainer.callback_metrics[self.settings.monitor])
        if not math.isfinite(value):
            raise TrainingError(
                f"{self.settings.monitor} is {value} after epoch {trainer.current_epoch + 1}; lower optimizer.lr or "
                "look at the validation frames."
            )
        improved = value < self.best or self.settings.tested == "last"
        if improved:
            self.best, self.best_epoch = value, trainer.current_epoch + 1
        last, best = self.directory / f"{LAST}.part", self.directory / f"{BEST}.part"
        with removed_on_failure(last, best):
            trainer.save_checkpoint(last)
            if trainer.is_global_zero:
                # the best one first: after a crash in between, resuming comes to the same best epoch again
                if improved:
                    shutil.copyfile(last, best)
                    os.replace(best, self.directory / BEST)
                os.replace(last, self.directory / LAST)

    def state_dict(self) -> dict[str, Any]:
        """What exact resuming needs."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
