"""Frames that a process meets twice, so that all processes have the same number of batches."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from scalarpath.core.quantities import QUANTITIES


class UnlabelledPadding(pl.Callback):
    """Takes the labels from the frame that ends the last batch of a process for want of a frame of its own.

    The order of an epoch is continued from its start where the frames do not divide evenly among the processes
    (``data.batches.EpochSampler``). Without labels such a frame counts in no loss and no error, so that an epoch is
    that of a single process.
    """

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Blank the labels of a repeated frame."""
        sampler = trainer.train_dataloader.batch_sampler.sampler  # type: ignore[union-attr]
        uneven = sampler.n_frames % sampler.world_size
        if not (trainer.is_last_batch and uneven and sampler.rank >= uneven):
            return
        first_atom = batch.ptr[-2]
        for prop in QUANTITIES:
            start = first_atom if prop == "forces" else -1
            batch[prop] = batch[prop].clone()
            batch[prop][start:] = torch.nan
