"""Physical artifacts of the runs: the rows of ``artifacts/*.json``, by arm and seed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

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


def artifact_lines(cell: Cell) -> list[ArtifactLine]:
    """All quantities that any run of the cell has measured, in the order of their files."""
    lines: dict[tuple[str, str, str], ArtifactLine] = {}
    for run in cell.runs():
        for measure, material, row in _rows_of(run):
            empty = ArtifactLine(*cell.place, measure, material, {})
            line = lines.setdefault((measure, material, row.key), empty)
            line.rows.setdefault(run.arm, {})[run.seed] = row
    return list(lines.values())


def _rows_of(run: Run) -> list[tuple[str, str, Row]]:
    """(measure, material, row) of all measures of a run that did not fail."""
    found = []
    for path in sorted((run.path / "artifacts").glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            material = str(content.get("material", ""))
            found += [(str(content["measure"]), material, _row(row)) for row in content.get("rows", ())]
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ReportError(f"{path} is damaged ({reason}); measure it again with evaluate.py.") from error
    return found


def _row(content: dict[str, Any]) -> Row:
    """JSON has null where a number is unknown. Raises TypeError or AttributeError for anything but a row."""
    values: dict[str, Any] = {key: math.nan if value is None else value for key, value in content.items()}
    row = Row(**values)
    numbers = (row.model, row.reference, row.error, row.low, row.high)
    if not all(isinstance(value, int | float) for value in numbers) or not isinstance(row.key, str):
        raise TypeError(f"the values of {row.key} are no numbers")
    return row
