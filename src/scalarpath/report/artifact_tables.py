"""Tables of the physical artifacts: which of them baseline shows, what other heads change, and all values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from scalarpath.artifacts.registry import all_measures
from scalarpath.artifacts.rows import Row
from scalarpath.report.aggregate import Aggregate
from scalarpath.report.artifact_rows import ArtifactLine
from scalarpath.report.cells import BASELINE, Cell
from scalarpath.report.paired_tests import t_test
from scalarpath.report.table import UNKNOWN, Table, mean_and_spread, number

_SHOWN_NOTE = (
    "Error of baseline: mean over seeds [95 % t interval]; for drifts, which should be zero, the drift itself. Shown: "
    "whether the interval excludes zero (a single seed has none). Other heads: change of the size of the error, in "
    "pairs of equal seed; below zero is better. An error that is surely there may be too small to matter, and one that "
    "is not sure may be large: read its interval. Runs without a value, such as liquids that failed, are left out; it "
    "then says how many have one."
)


def artifact_tables(found: Aggregate) -> Iterator[Table]:
    """For every cell, first the errors, then the values."""
    for cell in found.cells:
        inside = [line for line in found.artifacts if line.place == cell.place]
        yield _errors(cell, inside)
        yield _values(cell, inside)


def _errors(cell: Cell, lines: Sequence[ArtifactLine]) -> Table:
    others = [arm for arm in cell.arms if arm != BASELINE and any(arm in line.rows for line in lines)]
    rows = []
    for line in lines:
        errors = {arm: {seed: e for seed, row in seeds.items() if math.isfinite(e := _error(line.measure, row))}
                  for arm, seeds in line.rows.items()}  # fmt: skip
        if not (known := errors.get(BASELINE)):
            continue
        values = np.array(list(known.values()))
        _, low, high, _ = t_test([values])
        shown = UNKNOWN if math.isnan(low) else "yes" if low > 0 or high < 0 else "no"
        changes = [_change(cell, known, arm, errors.get(arm, {}), line.any_row) for arm in others]
        error = _interval(values, line.any_row, len(cell.arms[BASELINE]))
        rows.append((_measure(line, lines), _quantity(line), error, shown, *changes))
    columns = ("measure", "quantity", f"error of {BASELINE}", "shown", *others)
    title = f"Which artifacts {BASELINE} shows, {cell.name}"
    return Table(title, columns, rows, ("measure", "quantity", "shown"), _SHOWN_NOTE)


def _error(measure: str, row: Row) -> float:
    """What should be zero: the error or, where a claim is about it, the value itself."""
    itself = any(
        item.name == measure and item.claim is not None and item.claim.value == "model" and item.claim.counts(row)
        for item in all_measures()
    )
    return row.model if itself else row.error


def _change(cell: Cell, baseline: dict[int, float], arm: str, errors: dict[int, float], row: Row) -> str:
    seeds = sorted(baseline.keys() & errors.keys())
    changes = np.array([abs(errors[seed]) - abs(baseline[seed]) for seed in seeds])
    return _interval(changes, row, len(cell.common_seeds(arm, BASELINE))) if seeds else UNKNOWN


def _interval(values: np.ndarray, row: Row, runs: int) -> str:
    """Mean [95 % t interval], a fraction in percent; the number of values where not all runs have one."""
    mean, low, high, _ = (100 * value if row.relative else value for value in t_test([values]))
    text = f"{mean:+.2g}{' %' if row.relative else ''}" + ("" if math.isnan(low) else f" [{low:+.2g}, {high:+.2g}]")
    return text + (f" ({len(values)} of {runs})" if len(values) < runs else "")


def _values(cell: Cell, lines: Sequence[ArtifactLine]) -> Table:
    arms = [arm for arm in cell.arms if any(arm in line.rows for line in lines)]
    rows = [
        (
            _measure(line, lines),
            _quantity(line),
            number(line.any_row.reference),
            *(_mean_and_sd(line, arm) for arm in arms),
        )
        for line in lines
    ]
    title = f"Physical artifacts, {cell.name}"
    note = "Value of the model, mean ± standard deviation over seeds (number of seeds where it is not the same)."
    return Table(title, ("measure", "quantity", "reference", *arms), rows, ("measure", "quantity"), note)


def _measure(line: ArtifactLine, all_lines: Sequence[ArtifactLine]) -> str:
    """With the material, where the runs were measured on several."""
    several = len({other.material for other in all_lines}) > 1
    return f"{line.measure}, {line.material}" if several and line.material else line.measure


def _quantity(line: ArtifactLine) -> str:
    row = line.any_row
    return f"{row.quantity} ({row.unit})" if row.unit else row.quantity


def _mean_and_sd(line: ArtifactLine, arm: str) -> str:
    values = [row.model for row in line.rows.get(arm, {}).values() if math.isfinite(row.model)]
    return mean_and_spread(values, max(map(len, line.rows.values())))
