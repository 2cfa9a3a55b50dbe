"""Physical artifacts of the runs: rows and curves of ``artifacts/*.json``, by arm and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from scalarpath.artifacts.measure import Curve
from scalarpath.artifacts.registry import all_measures
from scalarpath.artifacts.rows import Row
from scalarpath.core.errors import ReportError
from scalarpath.report.cells import Cell, Placed
from scalarpath.report.runs import Run

Item = TypeVar("Item")


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


def artifact_lines(cell: Cell) -> list[ArtifactLine]:
    """All quantities that any run of the cell has measured, in the order of their files."""
    lines: dict[tuple[str, str, str], ArtifactLine] = {}
    for run in cell.runs():
        for measure, material, row in _read(run, _rows):
            empty = ArtifactLine(*cell.place, measure, material, {})
            line = lines.setdefault((measure, material, row.key), empty)
            line.rows.setdefault(run.arm, {})[run.seed] = row
    return list(lines.values())


def artifact_curves(cell: Cell) -> list[ArtifactCurves]:
    """What can be drawn of any run of the cell, in the order of their files."""
    found: dict[tuple[str, str], ArtifactCurves] = {}
    for run in cell.runs():
        for measure, material, curve in _read(run, _curves):
            drawn = found.setdefault((measure, material), ArtifactCurves(*cell.place, measure, material, {}))
            drawn.curves.setdefault(run.arm, {}).setdefault(run.seed, []).append(curve)
    return list(found.values())


def _read(run: Run, items: Callable[[Mapping[str, Any]], Iterator[Item]]) -> list[tuple[str, str, Item]]:
    """(measure, material, item) for all items in the files of a run."""
    found = []
    for path in sorted((run.path / "artifacts").glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            material = str(content.get("material", ""))
            found += [(str(content["measure"]), material, item) for item in items(content)]
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ReportError(f"{path} is damaged ({reason}); measure it again with evaluate.py.") from error
    return found


def _curves(content: Mapping[str, Any]) -> Iterator[Curve]:
    """None of a measurement that failed, and of a measure that draws none or is not of this package."""
    if "results" in content:
        for measure in all_measures():
            if measure.name == content["measure"]:
                yield from measure.curves(content["results"])


def _rows(content: Mapping[str, Any]) -> Iterator[Row]:
    """None of a measurement that failed."""
    return map(_row, content.get("rows", ()))


def _row(content: dict[str, Any]) -> Row:
    """JSON has null where a number is unknown. Raises TypeError or AttributeError for anything but a row."""
    values: dict[str, Any] = {key: math.nan if value is None else value for key, value in content.items()}
    row = Row(**values)
    numbers = (row.model, row.reference, row.error, row.low, row.high)
    if not all(isinstance(value, int | float) for value in numbers) or not isinstance(row.key, str):
        raise TypeError(f"the values of {row.key} are no numbers")
    return row
