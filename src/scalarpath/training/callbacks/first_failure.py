"""Which of the processes of a distributed job failed first, and with what."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import pytorch_lightning as pl

from scalarpath.core.errors import ScalarPathError, TrainingError
from scalarpath.runs.run_directory import RunDirectory

SECONDS_TO_END = 5.0  # for the last words of the other processes


class FirstFailure(pl.Callback):
    """Keeps the first failure of a distributed job, and lets it end the job.

    When one process fails, the others lose their connection to it and fail too, or wait for it forever.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.file = directory.failure
        self.is_mine = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Note the failure, unless another process was first; Lightning takes the connections down afterwards."""
        if trainer.world_size == 1:
            return
        known = isinstance(exception, ScalarPathError)
        words = str(exception) if known else f"{type(exception).__name__}: {exception}"
        with suppress(FileExistsError), self.file.open("x") as file:
            file.write(f"process {trainer.global_rank} of {trainer.world_size}: {words}")
            self.is_mine = True

    def end_all(self, trainer: pl.Trainer) -> None:
        """End the processes that this one has started; raises TrainingError when another one failed first."""
        for process in getattr(trainer.strategy.launcher, "procs", []):
            try:
                process.wait(0.0 if self.is_mine else SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        if trainer.is_global_zero and self.file.exists() and not self.is_mine:
            raise TrainingError(self.file.read_text())
