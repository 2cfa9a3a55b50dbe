"""Train, validation and test errors beside each other: what optimisation, capacity and generalisation leave."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from scalarpath.core.metrics import TRAIN
from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.cells import BASELINE, Cell, Placed
from scalarpath.report.changes import Change, change_between
from scalarpath.report.runs import Run, parts_shown


@dataclass(frozen=True)
class PartErrors(Placed):
    """MAEs of one arm of a cell in one quantity, by part of the data; NaN where unknown.

    ``errors``: means over the runs, in the shown unit. ``changes``: against baseline, over pairs of equal seed.
    ``gap``: test error (validation, where that is the last part shown) over train error, geometric mean over the runs
    that have both.
    """

    data: str
    backbone: str
    terms: str
    arm: str
    prop: str
    errors: dict[str, float]
    changes: dict[str, Change]
    gap: float


def part_errors(cell: Cell) -> list[PartErrors]:
    """Of all arms and quantities of a cell; nothing where no run knows errors on train frames."""
    if not any(run.error(quantity.name, TRAIN) >= 0 for run in cell.runs() for quantity in PRIMARY_FIRST):
        return []
    return list(_part_errors(cell))


def _part_errors(cell: Cell) -> Iterator[PartErrors]:
    for prop in (quantity.name for quantity in PRIMARY_FIRST):
        for arm, runs in cell.arms.items():
            errors = {part: [run.error(prop, part) for run in runs.values()] for part in parts_shown(cell.part)}
            if all(map(math.isnan, errors[cell.part])):
                continue
            changes = {
                part: change_between([cell], (arm, BASELINE), partial(Run.error, prop=prop, part=part))
                for part in errors
            }
            last = list(errors)[-1]
            gaps = [b / a for a, b in zip(errors[TRAIN], errors[last], strict=True) if a > 0 and b > 0]
            yield PartErrors(
                *cell.place, arm, prop, {part: _mean(values) for part, values in errors.items()}, changes,
                math.exp(np.mean(np.log(gaps))) if gaps else math.nan,
            )  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
