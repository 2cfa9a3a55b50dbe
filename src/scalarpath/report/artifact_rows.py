"""Physical artifacts of the runs: rows and curves of ``artifacts/*.json``, by arm and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scalarpath.artifacts.measure import Curve
from scalarpath.artifacts.registry import all_measures
from scalarpath.artifacts.rows import Row
from scalarpath.core.errors import ReportError
from scalarpath.report.cells import Cell, Placed
from scalarpath.report.runs import Run


@dataclass(frozen=True)
class ArtifactLine(Placed):
    """One quantity, measured on one material: ``rows[arm][seed]``."""

    data: str
    backbone: str
    terms: str
    measure: str
    material: str
    rows: dict[str, dict[int, Row]]

    @property
    def any_row(self) -> Row:
        """For what all rows share: key, quantity, unit, reference."""
        return next(row for seeds in self.rows.values() for row in seeds.values())


@dataclass(frozen=True)
class ArtifactCurves(Placed):
    """The curves of one measure on one material: ``curves[arm][seed]``; a run whose measurement failed has none."""

    data: str
    backbone: str
    terms: str
    measure: str
    material: str
    curves: dict[str, dict[int, list[Curve]]]


def artifacts_of(cell: Cell) -> tuple[list[ArtifactLine], list[ArtifactCurves]]:
    """All quantities that any run of the cell has measured, and what can be drawn of them, in the order of files."""
    lines: dict[tuple[str, str, str], ArtifactLine] = {}
    drawn: dict[tuple[str, str], ArtifactCurves] = {}
    for run in cell.runs():
        for measure, material, rows, curves in _measured(run):
            for row in rows:
                line = lines.setdefault((measure, material, row.key), ArtifactLine(*cell.place, measure, material, {}))
                line.rows.setdefault(run.arm, {})[run.seed] = row
            if curves:
                found = drawn.setdefault((measure, material), ArtifactCurves(*cell.place, measure, material, {}))
                found.curves.setdefault(run.arm, {})[run.seed] = curves
    return list(lines.values()), list(drawn.values())


def _measured(run: Run) -> Iterator[tuple[str, str, list[Row], list[Curve]]]:
    """Measure, material, rows and curves of all files of a run."""
    for path in sorted((run.path / "artifacts").glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            material = str(content.get("material", ""))
            rows, curves = [_row(row) for row in content.get("rows", ())], list(_curves(content))
            if rows or curves:  # none of a measurement that failed
                yield str(content["measure"]), material, rows, curves
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ReportError(f"{path} is damaged ({reason}); measure it again with evaluate.py.") from error


def _curves(content: Mapping[str, Any]) -> Iterator[Curve]:
    """None of a measurement that failed, and of a measure that draws none or is not of this package."""
    if "results" in content:
        for measure in all_measures():
            if measure.name == content["measure"]:
                yield from measure.curves(content["results"])


def _row(content: dict[str, Any]) -> Row:
    """JSON has null where a number is unknown. Raises TypeError or AttributeError for anything but a row."""
    values: dict[str, Any] = {key: math.nan if value is None else value for key, value in content.items()}
    row = Row(**values)
    numbers = (row.model, row.reference, row.error, row.low, row.high)
    if not all(isinstance(value, int | float) for value in numbers) or not isinstance(row.key, str):
        raise TypeError(f"the values of {row.key} are no numbers")
    return row
