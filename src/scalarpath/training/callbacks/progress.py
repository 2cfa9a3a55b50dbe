"""What the user sees while training runs: a line per epoch over one bar, or a line now and then."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import open_console
from scalarpath.runs.sections import ProgressSettings

LINES = 20  # how many lines a whole run prints where there is no terminal
SECONDS_BETWEEN_LOOKS = 0.1  # at the loss of a step, for which a GPU has to wait


class Progress(pl.Callback):
    """Shows epoch, step, loss, remaining time, and the validation errors of every epoch."""

    def __init__(self, settings: ProgressSettings) -> None:
        self._console = open_console()
        self.style = "lines" if settings.style == "bar" and not self._console.is_terminal else settings.style
        self._bar: RichProgress | None = None
        self._task: Any = None
        self._looked = -math.inf

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the epoch that comes first."""
        if self.style == "bar" and trainer.is_global_zero:
            columns = [TextColumn("{task.description}"), BarColumn(None), TimeRemainingColumn()]
            self._bar = RichProgress(*columns, console=self._console, expand=True, transient=True)
            first = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._task = self._bar.add_task(first, total=trainer.max_epochs, completed=trainer.current_epoch)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar within the epoch."""
        if self._bar is None or time.monotonic() - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        done, steps = batch_idx + 1, int(trainer.num_training_batches)
        where = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  step {done}/{steps}"
        self._bar.update(
            self._task,
            completed=trainer.current_epoch + done / steps,
            description=f"{where}  loss {float(outputs['loss']):.3g}",
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the errors of the epoch."""
        if not trainer.is_global_zero:
            return
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 1
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif self.style != "lines" or not (done == total or done % math.ceil(total / LINES) == 0):
            return
        line = f"epoch {done}/{total}  loss {float(trainer.callback_metrics['train/loss']):.3g}  {_errors(trainer)}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the message stands below it."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _errors(trainer: pl.Trainer) -> str:
    """Validation MAEs, short enough for a line in 80 columns."""
    metrics = trainer.callback_metrics
    keys = {name: f"val/{metric_name(name)}" for name in QUANTITIES}
    shown = [QUANTITIES[name].shown(float(metrics[key])) for name, key in keys.items() if key in metrics]
    return f"val MAE {', '.join(shown)}"
