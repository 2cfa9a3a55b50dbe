"""What the comparison leaves behind: a JSON file that can be resumed, and two tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from scalarpath.core.errors import DataError
from scalarpath.core.files import write_json, write_text
from scalarpath.core.metrics import metric_name
from scalarpath.cost.accuracy.ratios import by_arm, mean, statements

FORMAT = 1
ORDER = ("forces", "energy", "stress")  # in the tables
NOTE = (
    "Processor seconds of the whole command, one thread; MAEs of the final model in meV/Å, meV/atom, meV/Å³ (smallest "
    "and largest over seeds in brackets)."
)
RATIO_NOTE = (
    "Time: processor time of the peer's training over the time after which scalarpath's validation force error was at "
    "or below the peer's final one (without the start-up of both in brackets). Errors: test errors of scalarpath over "
    "those of the peer (forces, energy, stress), at its longest budget within the peer's time, and at equal epochs."
)
ARM_COLUMNS = (
    "backbone", "program", "recipe", "epochs", "seeds", "CPU s",
    "validation forces", "test forces", "test energy", "test stress",
)  # fmt: skip
RATIO_COLUMNS = (
    "backbone", "peer", "scalarpath", "time (aim)", "reached", "errors at equal time", "errors at equal epochs",
)  # fmt: skip


def read_results(path: Path) -> list[dict[str, Any]]:
    """Results of an earlier run, none where there is no file; raises DataError for another file."""
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text())
        if (content["suite"], content["format"]) != ("accuracy", FORMAT):
            raise KeyError("format")
        return list(content["results"])
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{path} holds no results of suite=accuracy; remove it or set another output.") from None


def write_results(path: Path, results: Sequence[Mapping[str, Any]], failed: Mapping[str, str]) -> None:
    """Write the results, what they say, and the messages of the arms that failed."""
    content = {"format": FORMAT, "suite": "accuracy", "statements": statements(results), "results": list(results)}
    write_json(path, {**content, "failed": dict(failed)})


def arm_rows(results: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Cells of the first table, in the order of ARM_COLUMNS; the slowest of a backbone first."""
    groups = by_arm(results)
    out = []
    for key in sorted(groups, key=lambda key: (key[0], -mean(groups[key], "cpu_s"))):
        found = groups[key]
        cells = [*key[:3], str(key[3]), str(len(found)), f"{mean(found, 'cpu_s'):.0f}"]
        wanted = [("valid", "forces"), *(("test", q) for q in ORDER)]
        out.append([*cells, *(_spread(found, part, q) for part, q in wanted)])
    return out


def ratio_rows(results: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Cells of the second table, in the order of RATIO_COLUMNS."""
    out = []
    for said in statements(results):
        time, reached = "not reached", "–"
        if said["time_ratio"] is not None:
            time = f"{said['time_ratio']:.1f} [{said['time_ratio_training']:.1f}] ({said['aim']:g})"
            reached = f"epoch {said['reached_epoch']:.1f} of {said['of_epochs']:.0f}, {said['reached_s']:.0f} s"
        peer = f"{said['peer']} {said['peer_recipe']}"
        errors = [_errors(said["equal_time"], epochs=True), _errors(said["equal_epochs"])]
        out.append([said["backbone"], peer, said["recipe"], time, reached, *errors])
    return out


def tables(results: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Both tables for a terminal."""
    out = []
    for title, note, columns, rows in _contents(results):
        shown = Table(title=title, caption=note)
        for column in columns:
            shown.add_column(column)
        for cells in rows:
            shown.add_row(*cells)
        out.append(shown)
    return out


def write_markdown(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Both tables as Markdown."""
    lines = []
    for _, note, columns, rows in _contents(results):
        lines += [note, "", *(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)), ""]
    write_text(path, "\n".join(lines))


def _contents(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, tuple[str, ...], list[list[str]]]]:
    return [
        ("Trainings", NOTE, ARM_COLUMNS, arm_rows(results)),
        ("Against the peers", RATIO_NOTE, RATIO_COLUMNS, ratio_rows(results)),
    ]


def _spread(results: Sequence[Mapping[str, Any]], part: str, quantity: str) -> str:
    key = metric_name(quantity)
    values = [result["errors"][part][key] for result in results if key in result["errors"][part]]
    if not values:
        return "–"
    text = f"{sum(values) / len(values):.3g}"
    return text if len(values) == 1 else f"{text} [{min(values):.3g}, {max(values):.3g}]"


def _errors(found: Mapping[str, float] | None, epochs: bool = False) -> str:
    if found is None:
        return "–"
    text = ", ".join(f"{found[q]:.2f}" for q in ORDER if q in found)
    return f"{text} ({found['epochs']:.0f} epochs)" if epochs else text
