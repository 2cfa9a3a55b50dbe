"""What the user sees while training runs: one bar over all epochs, or a line now and then."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.runs.job import ProgressSettings

LINES = 20  # how many lines a whole run prints where there is no terminal


class Progress(pl.Callback):
    """Shows epoch, remaining time and validation errors."""

    def __init__(self, settings: ProgressSettings) -> None:
        self._console = Console()
        self.style = "lines" if settings.style == "bar" and not self._console.is_terminal else settings.style
        self._bar: RichProgress | None = None
        self._task: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the epoch that comes first."""
        if self.style == "bar" and trainer.is_global_zero:
            columns = [MofNCompleteColumn(), BarColumn(10), TimeRemainingColumn()]
            self._bar = RichProgress("epoch", *columns, TextColumn("{task.description}"), console=self._console)
            self._task = self._bar.add_task("", total=trainer.max_epochs, completed=trainer.current_epoch)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar within the epoch."""
        if self._bar is not None:
            done = (batch_idx + 1) / trainer.num_training_batches
            self._bar.update(self._task, completed=trainer.current_epoch + done)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the errors of the epoch."""
        if not trainer.is_global_zero:
            return
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 1
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=_errors(trainer))
        elif self.style == "lines" and (done == total or done % math.ceil(total / LINES) == 0):
            self._console.print(f"epoch {done}/{total}  {_errors(trainer)}", highlight=False, soft_wrap=True)

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
    """Validation MAEs, short enough for a bar in 80 columns."""
    parts = []
    for prop, quantity in QUANTITIES.items():
        name, unit = f"val/{metric_name(prop)}", quantity.shown_unit
        if name in trainer.callback_metrics:
            value = float(trainer.callback_metrics[name])
            parts.append(f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}")
    return "val MAE " + ", ".join(parts)
