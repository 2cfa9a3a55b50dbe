"""metrics.csv: one row per epoch with everything that was logged."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytorch_lightning as pl

from scalarpath.core.errors import CheckpointError
from scalarpath.core.files import write_text


class MetricsCsv(pl.Callback):
    """Writes all logged metrics of every finished epoch; ``epoch`` counts from 1.

    On resuming, rows of epochs that the checkpoint does not contain are dropped, so no epoch appears twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: list[dict[str, str]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the rows of an interrupted run."""
        if trainer.is_global_zero and self.path.exists():
            try:
                rows = list(csv.DictReader(self.path.read_text(encoding="utf-8").splitlines()))
                self._rows = [row for row in rows if int(row["epoch"]) <= trainer.current_epoch]
            except (ValueError, KeyError, csv.Error) as error:
                raise CheckpointError(f"{self.path} cannot be read ({error}); the run is damaged.") from error

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the row of this epoch."""
        if not trainer.is_global_zero:
            return
        metrics = {name: repr(value.item()) for name, value in sorted(trainer.callback_metrics.items())}
        self._rows.append({"epoch": str(trainer.current_epoch + 1), **metrics})
        columns = dict.fromkeys(name for row in self._rows for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self.path, text.getvalue())
