"""What SIGTERM does to a training."""

from __future__ import annotations

import signal
import threading

import pytorch_lightning as pl


class OwnSignals(pl.Callback):
    """Lets SIGTERM do during the fit what it did before.

    Lightning's handler would end with exit status 0, and let the processes of a distributed job wait for one another.
    """

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the handler back; Lightning has set its own just before."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)
