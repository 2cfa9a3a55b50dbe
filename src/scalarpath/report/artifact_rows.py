"""Physical artifacts of the runs: rows and curves of ``artifacts/*.json``, by arm and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

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


STRUCTURE = "structure_hash"


class _Measured(NamedTuple):
    """A file of a run; ``terms``: what must be the same for all runs, as far as the file, which may be older, tells."""

    path: Path
    terms: dict[str, Any]
    measure: str
    material: str
    rows: list[Row]
    curves: list[Curve]

    @property
    def subject(self) -> tuple[str, str]:
        """What runs are compared in."""
        return self.measure, self.material


def artifacts_of(cell: Cell) -> tuple[list[ArtifactLine], list[ArtifactCurves], list[str]]:
    """All quantities that any run of the cell has measured, and what can be drawn of them, in the order of files.

    What was measured on different structures of one name, or with different settings, is left out; the notes tell it.
    """
    lines: dict[tuple[str, str, str], ArtifactLine] = {}
    drawn: dict[tuple[str, str], ArtifactCurves] = {}
    measured = [(run, item) for run in cell.runs() for item in _measured(run)]
    differing = _differing([item for _, item in measured])
    for run, item in measured:
        if item.subject in differing:
            continue
        for row in item.rows:
            line = lines.setdefault((*item.subject, row.key), ArtifactLine(*cell.place, *item.subject, {}))
            line.rows.setdefault(run.arm, {})[run.seed] = row
        if item.curves:
            found = drawn.setdefault(item.subject, ArtifactCurves(*cell.place, *item.subject, {}))
            found.curves.setdefault(run.arm, {})[run.seed] = item.curves
    notes = [
        f"{cell.name}: {measure} of {material} is left out: {why}; measure both alike with evaluate.py."
        for (measure, material), why in differing.items()
    ]
    return list(lines.values()), list(drawn.values()), notes


def _differing(measured: Sequence[_Measured]) -> dict[tuple[str, str], str]:
    """The subjects in which the files cannot be compared, and the first two files and terms that say so."""
    first: dict[tuple[str, str, str], tuple[Any, Path]] = {}
    found: dict[tuple[str, str], str] = {}
    for item in measured:
        for term, value in item.terms.items():
            known, path = first.setdefault((*item.subject, term), (value, item.path))
            if value != known:
                on = f"on different structures ({term})" if term == STRUCTURE else f"with {term}={known} and {value}"
                found.setdefault(item.subject, f"{path} and {item.path} were measured {on}")
    return found


def _measured(run: Run) -> Iterator[_Measured]:
    """All files of a run."""
    for path in sorted((run.path / "artifacts").glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            material = str(content.get("material", ""))
            rows, curves = [_row(row) for row in content.get("rows", ())], list(_curves(content))
            if rows or curves:  # none of a measurement that failed
                yield _Measured(path, _terms(content), str(content["measure"]), material, rows, curves)
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ReportError(f"{path} is damaged ({reason}); measure it again with evaluate.py.") from error


def _terms(content: Mapping[str, Any]) -> dict[str, Any]:
    """The structure and the settings of a measure, by name; what else stands beside them follows from the data."""
    found = {STRUCTURE: content[STRUCTURE]} if STRUCTURE in content else {}
    settings = content.get("settings", {})
    for measure in all_measures():
        if measure.name == content["measure"]:
            names = [field.name for field in fields(measure.settings) if field.name in settings]
            found |= {f"settings.{measure.section}.{name}": settings[name] for name in names}
    return found


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
