"""Errors by element and by config_type (``errors.json`` of the runs): where a head helps, and where it does not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scalarpath.core.errors import ReportError
from scalarpath.core.metrics import ALL, ELEMENT, ERROR_SIZES, ERRORS_FILE, PARTS, labels_name, metric_name
from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.cells import BASELINE, Cell, Placed
from scalarpath.report.changes import Change, change_between, errors_by_arm
from scalarpath.report.runs import Run

Group = tuple[str, str]
"""Kind (``element`` or ``config_type``) and name."""
Read = Mapping[Path, Mapping[Group, Mapping[str, float]]]
"""Metrics by run and group."""


@dataclass(frozen=True)
class Breakdown(Placed):
    """Errors in one quantity and statistic of one group of atoms or frames, on ``part``.

    ``labels``: how many each error rests on. ``errors[arm][seed]`` are in the shown unit; ``changes[arm]``: against
    baseline, over pairs of equal seed.
    """

    data: str
    backbone: str
    terms: str
    part: str
    kind: str
    group: str
    prop: str
    statistic: str
    labels: int
    errors: dict[str, dict[int, float]]
    changes: dict[str, Change]


def breakdown_of(cells: Sequence[Cell]) -> tuple[list[Breakdown], list[str]]:
    """All groups of every cell by quantity, kind and name, and a note on the runs that do not tell them."""
    read = {run.path: _read(run) for cell in cells for run in cell.runs()}
    unknown = sum(not groups for groups in read.values())
    notes = []
    if unknown:
        notes.append(
            f"{unknown} of {len(read)} runs do not tell errors on {cells[0].part} frames by element and config_type "
            f"({ERRORS_FILE}), as those of older versions, and are left out of these tables."
        )
    return [item for cell in cells for item in _breakdown_of(cell, read)], notes


def _breakdown_of(cell: Cell, read: Read) -> Iterator[Breakdown]:
    known = [read[run.path] for run in cell.runs()]
    for prop in (quantity.name for quantity in PRIMARY_FIRST):
        for kind, name in sorted({group for groups in known for group in groups}, key=_elements_first):
            found = [groups[kind, name] for groups in known if (kind, name) in groups]
            labels = next((int(metrics[labels_name(prop)]) for metrics in found if labels_name(prop) in metrics), 0)
            for statistic in ERROR_SIZES if labels else ():
                error = partial(_error, read, (kind, name), metric_name(prop, statistic))
                errors = errors_by_arm(cell, error)
                changes = {arm: change_between([cell], (arm, BASELINE), error) for arm in errors}
                yield Breakdown(*cell.place, cell.part, kind, name, prop, statistic, labels, errors, changes)


def _elements_first(group: Group) -> tuple[bool, Group]:
    return group[0] != ELEMENT, group


def _error(read: Read, group: Group, metric: str, run: Run) -> float:
    return float(read[run.path].get(group, {}).get(metric, math.nan))


def _read(run: Run) -> dict[Group, Mapping[str, float]]:
    """Metrics of a run on the part that is compared, by group; empty where it does not tell them."""
    path = run.path / ERRORS_FILE
    if not path.is_file():
        return {}
    try:
        kinds = json.loads(path.read_text(encoding="utf-8")).get(PARTS[run.part], {})
        return {
            (kind, name): {metric: float(value) for metric, value in metrics.items()}
            for kind, names in kinds.items()
            if kind != ALL
            for name, metrics in names.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ReportError(f"{path} is damaged ({reason}); leave the run out with runs=[...].") from error
