"""When a run counts as begun."""

from __future__ import annotations

import pytorch_lightning as pl

from scalarpath.runs.run_directory import RunDirectory


class RunStatus(pl.Callback):
    """Marks the run as running just before the first step, when all that could have kept it from starting is past."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write it, in the first process."""
        if trainer.is_global_zero:
            self.directory.begin()
