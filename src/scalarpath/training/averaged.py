"""Averaged weights in place of those that are trained: in validation, in the test and in checkpoints."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl

from scalarpath.potential import to_checkpoint


class Averaged(pl.Callback, ABC):
    """Validation runs with an average, training goes on with the plain weights.

    A checkpoint holds the average under ``potential`` beside what exact resuming needs.
    """

    @abstractmethod
    def put_average(self, pl_module: pl.LightningModule) -> None:
        """Put the average in place of the weights."""

    @abstractmethod
    def put_weights(self, pl_module: pl.LightningModule) -> None:
        """Put the weights back."""

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the average."""
        self.put_average(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the weights."""
        self.put_weights(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the averaged potential."""
        with self.averaged(pl_module):
            # a copy, because the state dict shares memory with the weights that are put back
            potential: Any = pl_module.potential
            checkpoint["potential"] = copy.deepcopy(to_checkpoint(potential))

    @contextmanager
    def averaged(self, pl_module: pl.LightningModule) -> Iterator[None]:
        """The module has the averaged weights inside this context."""
        self.put_average(pl_module)
        try:
            yield
        finally:
            self.put_weights(pl_module)


class ScheduleFreeAverage(Averaged):
    """The average that schedulefree's optimizers keep themselves, in their mode of evaluation."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The optimizer refuses steps in its other mode, with which it begins."""
        self.put_weights(pl_module)

    def put_average(self, pl_module: pl.LightningModule) -> None:
        """Put the average in place of the weights."""
        _optimizer(pl_module).eval()

    def put_weights(self, pl_module: pl.LightningModule) -> None:
        """Put the weights back."""
        _optimizer(pl_module).train()


def _optimizer(pl_module: pl.LightningModule) -> Any:
    (optimizer,) = pl_module.trainer.optimizers
    return optimizer
