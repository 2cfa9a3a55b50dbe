"""Stops a training run that has become NaN or infinite."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from scalarpath.core.errors import TrainingError

CUDA_INTERVAL = 50  # steps between checks on a GPU, where every look costs a synchronisation


class FiniteGuard(pl.Callback):
    """Raises TrainingError when the loss or the gradient of a step is not finite.

    On a GPU it looks every ``CUDA_INTERVAL`` steps. It always looks at the end of an epoch, before checkpoints are
    written, so that a checkpoint never holds weights that a bad step has touched.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[int, Tensor, Tensor, Tensor]] = []  # step, loss, gradient norm, frames

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note loss and gradient, and check what has gathered."""
        norms: Any = pl_module.gradient_norms
        loss = outputs["loss"].detach()
        self._pending.append((trainer.global_step, loss, norms[-1] if norms else torch.zeros_like(loss), batch.frame))
        interval = CUDA_INTERVAL if pl_module.device.type == "cuda" else 1
        if len(self._pending) >= interval or trainer.is_last_batch:
            self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        numbers = [number for _, *pair, _ in self._pending for number in pair]
        values = torch.stack(numbers).view(-1, 2).tolist()
        bad = [k for k, pair in enumerate(values) if not all(map(math.isfinite, pair))]
        all_fine = trainer.strategy.reduce_boolean_decision(not bad, all=True)
        first_bad = bad[0] if bad else 0
        step, _, _, frames = self._pending[first_bad]
        self._pending.clear()
        if all_fine:
            return
        loss, norm = values[first_bad]
        raise TrainingError(
            f"loss {loss:g} with gradient norm {norm:g} in epoch {trainer.current_epoch + 1}, step {step} "
            f"(frames {frames.tolist()}); lower optimizer.lr, or look at these frames."
        )
