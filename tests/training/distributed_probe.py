"""train.py with something to test in it: the processes of a distributed job run this script again.

PROBE_GRADIENTS=FOLDER keeps the gradients of every step. In the second epoch PROBE_FAILS=RANK fails in that process,
PROBE_SIGNAL=RANK:NUMBER sends it a signal.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytorch_lightning as pl
import torch

from scalarpath.cli import train
from scalarpath.core.errors import TrainingError
from scalarpath.training import fit as fit_module


class Probe(pl.Callback):
    """Stores gradients, fails."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        if "PROBE_GRADIENTS" in os.environ and trainer.is_global_zero:
            gradients = {name: p.grad.clone() for name, p in pl_module.named_parameters()}
            torch.save(gradients, Path(os.environ["PROBE_GRADIENTS"]) / f"{trainer.global_step}.pt")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if os.environ.get("PROBE_FAILS") == str(trainer.global_rank) and trainer.current_epoch == 1:
            raise TrainingError("a cosmic ray has struck.")
        rank, _, number = os.environ.get("PROBE_SIGNAL", "").partition(":")
        if rank == str(trainer.global_rank) and trainer.current_epoch == 1:
            os.kill(os.getpid(), int(number))


if __name__ == "__main__":
    build = fit_module._callbacks
    fit_module._callbacks = lambda *args: {"probe": Probe(), **build(*args)}
    train()
