"""What an evaluation leaves behind: JSON files, figures, a table on the screen, flat numbers for summaries and W&B."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import HORIZONTALS
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.measure import drawn
from scalarpath.artifacts.rows import Row
from scalarpath.artifacts.suite import Outcome, run_suite
from scalarpath.core.errors import ConfigError
from scalarpath.core.figures import save
from scalarpath.core.files import refuse_foreign, write_json
from scalarpath.core.terminal import open_console

FOLDER = "artifacts"
MIN_WIDTH_WITH_NOTES = 120
"""Columns below which the table leaves the notes to the files."""


def refuse_foreign_files(folder: Path, measures: Sequence[str]) -> None:
    """Raise ConfigError where a file in ``folder`` that an evaluation would replace is not of an evaluation."""
    keys = {**dict.fromkeys(measures, "measure"), "summary": "artifact/", "test_errors": "run"}
    for name, key in keys.items():
        beside = [folder / f"{name}.{kind}" for kind in ("svg", "png")] if name in measures else []
        refuse_foreign("output_dir", folder / f"{name}.json", partial(_has_key, key), beside)


def prepare_folder(folder: Path) -> None:
    """Make ``folder``; raises ConfigError where nothing can be written into it, before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{folder} is not writable: {error.strerror}; say with output_dir= where results are to be written."
        ) from error


def _has_key(start: str, text: str) -> bool:
    """Whether a key of this JSON object begins so; a summary may be empty."""
    content = json.loads(text)
    return content == {} or any(key.startswith(start) for key in dict(content))


def measure_and_write(
    bench: Bench,
    settings: Mapping[str, Any],
    measures: Sequence[str],
    directory: Path,
    header: Mapping[str, Any],
    *,
    keep_trajectories: bool = False,
) -> list[Outcome]:
    """Run the measures, write each into ``directory``/artifacts as soon as it is there, show progress and the table.

    settings: by section, see ``registry.measure_settings``; header: what was measured and with which versions, which
    stands in every file.
    """
    folder = directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    subject = {"material": bench.material.name, "structure_hash": bench.material.structure_hash}
    header = {**subject, "reference": bench.reference_name, **header}
    console, outcomes = open_console(), []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total or None)

        trajectories = folder / "trajectories" if keep_trajectories else None
        for outcome in run_suite(bench, settings, measures, report, trajectories):
            write_outcome(outcome, folder, header)
            console.print(f"{outcome.name}: {_state(outcome)}", highlight=False, markup=False)
            outcomes.append(outcome)
    write_json(folder / "summary.json", _measured_before(folder, measures, header) | flat_summary(outcomes))
    title = f"{bench.material.name}, reference: {bench.reference_name.split(',')[0]}"
    console.print(results_table(outcomes, title, notes=console.width >= MIN_WIDTH_WITH_NOTES))
    written_to = f"Written: {folder} (a .json file per measure, most with a figure, and summary.json)"
    console.print(written_to, highlight=False, markup=False, soft_wrap=True)
    return outcomes


def _measured_before(folder: Path, measures: Sequence[str], header: Mapping[str, Any]) -> dict[str, Any]:
    """What summary.json says of other measures of the same calculator, material and reference.

    A file that is older than the hash of the structure counts as one of the same.
    """

    def content(name: str) -> dict[str, Any]:
        file = folder / f"{name}.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    before, wanted = content("summary"), plain(header)
    others = {key.split("/")[1] for key in before} - set(measures)
    same = {key: wanted[key] for key in ("calculator", "material", "structure_hash", "reference")}
    kept = {
        name for name in others if (of := content(name)) and all(of.get(key, same[key]) == same[key] for key in same)
    }
    return {key: value for key, value in before.items() if key.split("/")[1] in kept}


def write_outcome(outcome: Outcome, folder: Path, header: Mapping[str, Any]) -> None:
    """<measure>.json, and the figure as .svg and .png; a file of an earlier evaluation is replaced or removed."""
    for kind in ("svg", "png", "json"):  # the last one tells whose they are
        (folder / f"{outcome.name}.{kind}").unlink(missing_ok=True)
    if outcome.skipped:
        return
    content: dict[str, Any] = {"measure": outcome.name, **header, "wall_s": outcome.wall_s}
    if outcome.measurement is None:
        write_json(folder / f"{outcome.name}.json", {**content, "error": outcome.error, "details": outcome.details})
        return
    content |= {"settings": outcome.measurement.settings, "rows": outcome.rows, "results": outcome.measurement.results}
    write_json(folder / f"{outcome.name}.json", plain(content))
    figure = drawn(outcome.measure, outcome.measurement)
    if figure is not None:
        save(figure, folder / outcome.name)


def plain(value: Any) -> Any:
    """Dataclasses, tuples and NumPy numbers as JSON knows them; what is not finite becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat_summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """``artifact/<measure>/<quantity with unit>`` and ``..._error``; ``artifact/failed`` names the failed measures."""
    summary: dict[str, Any] = {}
    for outcome in outcomes:
        for row in outcome.rows:
            summary |= {f"artifact/{outcome.name}/{key}": value for key, value in row.summary().items()}
    if bad := [outcome.name for outcome in outcomes if outcome.error]:
        summary["artifact/failed"] = ", ".join(bad)
    return summary


def written(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """The files of these outcomes that exist."""
    names = [f"{outcome.name}.{kind}" for outcome in outcomes for kind in ("json", "svg", "png")]
    return [folder / name for name in [*names, "summary.json"] if (folder / name).exists()]


def results_table(outcomes: Sequence[Outcome], title: str, *, notes: bool = True) -> Table:
    """One line per quantity. Where there is too little room a name goes on in the next line; no number is cut."""
    table = Table(title=title, caption="interval: 95 %, of the error, or of the model's value where no error is given")
    table.box, table.padding, table.show_edge = HORIZONTALS, (0, 1, 0, 0), False
    names = ("quantity", "reference", "model", "error", "interval", "note")
    cells = {outcome.name: [_cells(row) for row in outcome.rows] for outcome in outcomes}
    used = {name for rows in cells.values() for row in rows for name, cell in zip(names, row, strict=True) if cell}
    if not all(cells.values()):
        used.add("note")  # why a measure has no rows
    shown = [i for i, name in enumerate(names) if i < 4 or (name in used and (notes or name != "note"))]
    for name in (names[i] for i in shown):
        is_text = name in ("quantity", "note")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for outcome in outcomes:
        for row in cells[outcome.name]:
            table.add_row(*(row[i] for i in shown), end_section=row is cells[outcome.name][-1])
        if not outcome.rows:
            state, _, reason = _state(outcome).partition(": ")
            line = [f"{outcome.name}: {state}", "", "", "", "", reason]
            table.add_row(*(escape(line[i]) for i in shown), end_section=True)
    return table


def _cells(row: Row) -> list[str]:
    error = f"{100 * row.error:+.1f} %" if row.relative else f"{row.error:+.3g}"
    interval = f"[{row.low:.3g}, {row.high:.3g}]" if math.isfinite(row.low) and math.isfinite(row.high) else ""
    values = [f"{value:.4g}" if math.isfinite(value) else "–" for value in (row.reference, row.model)]
    quantity = f"{row.quantity} ({row.unit})" if row.unit else row.quantity
    return [escape(quantity), *values, error if math.isfinite(row.error) else "–", escape(interval), escape(row.note)]


def _state(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"not measured: {outcome.skipped}"
    return f"FAILED: {outcome.error}" if outcome.error else f"{outcome.wall_s:.1f} s"
