"""Errors on the frames of other files (``artifacts/frames_*.json`` of the runs), compared like test errors."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scalarpath.core.errors import ReportError
from scalarpath.core.metrics import ENERGY_ABOUT_MEDIAN, KIND, TEST, about_median, metric_name
from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.cells import Cell, Placed
from scalarpath.report.changes import Change, change_between, errors_by_arm
from scalarpath.report.effects import comparisons
from scalarpath.report.runs import Run

Errors = Mapping[tuple[str | None, str], float]
"""MAEs by config_type (None: of all frames) and name of the metric."""


@dataclass(frozen=True)
class OtherFrames(Placed):
    """One MAE on the frames of a file that no run of the cell was trained on.

    ``file``: its name; ``frames``: how many it has; ``group``: the config_type of those meant, None: all;
    ``metric``: name with unit. ``errors[arm][seed]`` are in that unit; ``changes[arm, reference]``: over pairs of
    equal seed.
    """

    data: str
    backbone: str
    terms: str
    file: str
    frames: int
    group: str | None
    metric: str
    errors: dict[str, dict[int, float]]
    changes: dict[tuple[str, str], Change]


def other_frames_of(cell: Cell) -> Iterator[OtherFrames]:
    """All files that any run of the cell was measured on, by ``evaluate.py frames=``; none in a report on development.

    Raises ReportError where runs were measured on different frames of one file.
    """
    if cell.part != TEST:
        return
    measured = {run.path: _measured(run) for run in cell.runs()}
    for name in sorted({name for files in measured.values() for name in files}):
        contents = [files[name] for files in measured.values() if name in files]
        _same_frames(contents)
        found = {path: _errors(files[name]) if name in files else {} for path, files in measured.items()}
        for group, metric in dict.fromkeys(key for errors in found.values() for key in errors):
            error = partial(_error, found, (group, metric))
            errors = errors_by_arm(cell, error)
            changes = {pair: change_between([cell], pair, error) for pair in comparisons(cell)}
            frames = int(contents[0].content["frames"])
            yield OtherFrames(*cell.place, name, frames, group, metric, errors, changes)


@dataclass(frozen=True)
class _File:
    """What evaluate.py wrote about one file of frames."""

    path: Path
    content: dict[str, Any]


def _measured(run: Run) -> dict[str, _File]:
    """By the name of the file of frames."""
    found = {}
    for path in sorted((run.path / "artifacts").glob("frames_*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found[Path(content["file"]).name] = _File(path, content)
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise _damaged(path, error) from error
    return found


def _same_frames(files: Sequence[_File]) -> None:
    for other in files[1:]:
        if other.content.get("frames_hash") != files[0].content.get("frames_hash"):
            raise ReportError(
                f"{files[0].path} and {other.path} are about different frames or labels (frames_hash); measure all "
                f"runs on the same file, with evaluate.py frames={files[0].content['file']}."
            )


def _errors(file: _File) -> Errors:
    """Of all frames, then by config_type where the file tells several; the energy also about its median error."""
    try:
        groups: dict[str | None, Any] = {None: {key.removeprefix("frames/"): it for key, it in file.content.items()}}
        kinds = file.content.get("errors", {}).get(KIND, {})
        groups |= dict(sorted(kinds.items())) if len(kinds) > 1 else {}
        names = [metric_name(quantity.name) for quantity in PRIMARY_FIRST]
        found = {(group, name): float(of[name]) for group, of in groups.items() for name in names if name in of}
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(file.path, error) from error
    energies = _energy_errors(file.path.with_suffix(".csv"))
    return {**found, **({(None, ENERGY_ABOUT_MEDIAN): about_median(energies)} if energies else {})}


def _energy_errors(path: Path) -> list[float]:
    column = metric_name("energy", "error")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [float(row[column]) for row in csv.DictReader(stream) if row[column]]
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ReportError:
    reason = f"{type(error).__name__}: {error}"
    return ReportError(f"{path} is damaged ({reason}); measure it again with evaluate.py frames=.")


def _error(found: Mapping[Path, Errors], key: tuple[str | None, str], run: Run) -> float:
    return found[run.path].get(key, math.nan)
