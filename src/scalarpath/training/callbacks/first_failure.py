"""Which of the processes of a distributed job failed first, and with what."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import pytorch_lightning as pl
import torch.distributed

from scalarpath.core.errors import ScalarPathError, TrainingError
from scalarpath.core.termination import name_of
from scalarpath.runs.run_directory import RunDirectory

SECONDS_TO_END = 5.0  # for the last words of the other processes


class FirstFailure(pl.Callback):
    """Keeps the first failure of a distributed job, and lets it end the job.

    When one process fails, the others lose their connection to it and fail too, or wait for it forever.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.file = directory.failure
        self.is_mine = False
        self._started: list[subprocess.Popen[bytes]] = []

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Note the failure, unless another process was first; Lightning takes the connections down afterwards."""
        if trainer.world_size == 1:
            return
        if isinstance(exception, Exception):
            # out of the hands of Lightning, which would kill this process too when it sees that one of them has ended
            processes = getattr(trainer.strategy.launcher, "procs", [])
            self._started = list(processes)
            processes.clear()
        if _is_lost_connection(exception):
            return
        words = f"{type(exception).__name__}: {exception}"
        if isinstance(exception, ScalarPathError):
            words = str(exception)
        elif isinstance(exception, KeyboardInterrupt):
            words = f"interrupted ({name_of(exception)})."
        # another process was first; or the disk is full; or the place is unknown to this process, see shared_directory
        with suppress(OSError), self.file.open("x") as file:
            file.write(f"process {trainer.global_rank} of {trainer.world_size}: {words}")
            self.is_mine = True

    def end_all(self, trainer: pl.Trainer, error: Exception) -> None:
        """End the processes that this one has started; raises TrainingError when another one failed first."""
        lost = None
        for rank, process in enumerate(self._started, start=1):
            try:
                if process.wait(0.0 if self.is_mine else SECONDS_TO_END) < 0:
                    lost = f"process {rank} of {trainer.world_size} was killed by signal {-process.returncode}"
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        if trainer.is_global_zero and self.file.exists() and not self.is_mine:
            raise TrainingError(self.file.read_text()) from None
        if trainer.world_size > 1 and _is_lost_connection(error):
            me = f"process {trainer.global_rank} of {trainer.world_size}"
            raise TrainingError(
                f"{lost or f'{me} has lost its connection to another one, which has ended without a word'} (is the "
                "memory large enough?); the last finished epoch is kept, for resume=."
            ) from None


def _is_lost_connection(error: BaseException) -> bool:
    """Whether the error is but the end of another process, as torch.distributed notices it."""
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )
