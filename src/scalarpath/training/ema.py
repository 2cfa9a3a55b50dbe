"""Exponential moving average of the weights, used for validation and in checkpoints."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from scalarpath.runs.sections import EmaSettings
from scalarpath.training.averaged import Averaged


class Ema(Averaged):
    """Keeps avg <- d avg + (1 - d) weights after every optimiser step, d = min(decay, (1 + n) / (10 + n)) at step n.

    Only what is trained is averaged: buffers (references, statistics) and frozen parameters are constants.
    """

    def __init__(self, settings: EmaSettings) -> None:
        self.decay = settings.decay
        self.updates = 0
        self._average: list[Tensor] | None = None
        self._weights: list[Tensor] = []
        self._last_step = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start from the initial weights, or move the restored average to the device."""
        potential: Any = pl_module.potential
        # the memory of the parameters, in which the optimizer changes them
        self._weights = [p.detach() for p in potential.parameters() if p.requires_grad]
        if self._average is None:
            self._average = [weight.clone() for weight in self._weights]
        self._average = [avg.to(weight.device) for avg, weight in zip(self._average, self._weights, strict=True)]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin counting optimiser steps, which Lightning restores later than ``on_fit_start``."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average when an optimiser step was made."""
        if trainer.global_step == self._last_step:
            return
        self._last_step = trainer.global_step
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)(self._average, self._weights, self.updates)

    def put_average(self, pl_module: pl.LightningModule) -> None:
        """Put the average in place of the weights, which lie in its place meanwhile."""
        self._swap()

    def put_weights(self, pl_module: pl.LightningModule) -> None:
        """Put the weights back."""
        self._swap()

    def state_dict(self) -> dict[str, Any]:
        """What exact resuming needs."""
        return {"updates": self.updates, "average": self._average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.updates, self._average = state_dict["updates"], state_dict["average"]

    @torch.no_grad()
    def _swap(self) -> None:
        if self._average is None:
            return
        kept = [weight.clone() for weight in self._weights]
        torch._foreach_copy_(self._weights, self._average)
        torch._foreach_copy_(self._average, kept)
