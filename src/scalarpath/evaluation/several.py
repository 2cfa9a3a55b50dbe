"""What ``evaluate.py`` does with a pattern of runs: one after the other, and a table at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from scalarpath.core.errors import ArtifactError, ScalarPathError
from scalarpath.core.metrics import PARTS, TEST, metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import add_columns, open_console
from scalarpath.evaluation.command import TEST_ERRORS, run
from scalarpath.evaluation.other_frames import result_file
from scalarpath.evaluation.output import FOLDER
from scalarpath.evaluation.settings import EvaluationSettings


def evaluate_each(each: Sequence[EvaluationSettings]) -> None:
    """Evaluate every run of ``each``, show and write what ``run`` does, and then the errors of all, if it measures any.

    A run that fails does not keep others from their turn: raises ArtifactError at the end. The error of a single run
    goes through.
    """
    if len(each) == 1:
        run(each[0])
        return
    console = open_console()
    failed: list[str | None] = []
    for number, settings in enumerate(each, 1):
        console.rule(f"{number} of {len(each)}: {escape(str(settings.run))}")
        try:
            run(settings)
        except ScalarPathError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            failed.append(settings.run)
    done = [settings for settings in each if settings.run not in failed]
    if done and not done[0].explain:
        console.print(_table(done))
    if failed:
        raise ArtifactError(
            f"{len(failed)} of {len(each)} runs failed: {', '.join(map(str, failed))}; the others are written."
        )


def _table(each: Sequence[EvaluationSettings]) -> Table:
    """One line per run, as its file says; empty without labels."""
    frames = each[0].frames
    table = Table(title=f"MAE on {'test frames' if frames is None else Path(frames).name}", title_style="")
    add_columns(
        table, "run", *(f"{name}, {quantity.shown_unit}" for name, quantity in QUANTITIES.items()), words=["run"]
    )
    for settings in each:
        folder = Path(str(settings.run)) / FOLDER
        file, prefix = (
            (folder / TEST_ERRORS, PARTS[TEST]) if frames is None else (result_file(folder, frames), "frames")
        )
        content = json.loads(file.read_text(encoding="utf-8"))
        values = [content.get(f"{prefix}/{metric_name(name)}") for name in QUANTITIES]
        table.add_row(
            escape(Path(str(settings.run)).name), *("" if value is None else f"{value:.4g}" for value in values)
        )
    return table
