"""Stops when the monitored metric no longer improves."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl

from scalarpath.runs.sections import EarlyStoppingSettings


class EarlyStopping(pl.Callback):
    """Ends training when ``monitor`` has not fallen by more than ``min_delta`` for ``patience`` epochs."""

    def __init__(self, settings: EarlyStoppingSettings) -> None:
        self.settings = settings
        self.best = math.inf
        self.bad_epochs = 0
        self.reached = False

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare this epoch with the best one."""
        value = float(trainer.callback_metrics[self.settings.monitor])
        if value < self.best - self.settings.min_delta:
            self.best, self.bad_epochs = value, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs >= self.settings.patience:
            self.reached = True
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What exact resuming needs."""
        return {"best": self.best, "bad_epochs": self.bad_epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.best, self.bad_epochs = state_dict["best"], state_dict["bad_epochs"]
