"""A limit on the wall time of one launch."""

from __future__ import annotations

import time

import pytorch_lightning as pl


class MaxTime(pl.Callback):
    """Ends training after the first epoch that finishes later than ``limit_s`` seconds after the start of the fit."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.reached = False
        self._start = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop when the time is up; the clock of the first process decides for all."""
        late = time.monotonic() - self._start >= self.limit_s
        if trainer.strategy.broadcast(late):
            self.reached = True
            trainer.should_stop = True
