"""Tables of errors on the frames of other files, one per cell and file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scalarpath.core.metrics import ALL, ENERGY_ABOUT_MEDIAN, metric_name
from scalarpath.core.quantities import PRIMARY_FIRST, QUANTITIES
from scalarpath.report.cells import Cell
from scalarpath.report.effects import shown_change
from scalarpath.report.other_frames import OtherFrames
from scalarpath.report.table import Table, mean_and_spread

if TYPE_CHECKING:
    from scalarpath.report.aggregate import Aggregate

FILE = "other_frames.csv"
_MEASURES = {metric_name(q.name): f"{q.noun}, {q.shown_unit}" for q in PRIMARY_FIRST}
_MEASURES[ENERGY_ABOUT_MEDIAN] = f"energy about the median error, {QUANTITIES['energy'].shown_unit}"
_NOTE = (
    "MAE on frames that no run was trained on (evaluate.py frames=), mean ± standard deviation over seeds (number of "
    "seeds where it is not the same); changes are paired by seed, with their 95 % t interval over seeds. Energies of "
    "two methods differ by a constant, which the error about the median error of each run leaves out."
)


def other_frames_tables(found: Aggregate) -> Iterator[Table]:
    """What was measured with ``evaluate.py frames=``."""
    for cell in found.cells:
        inside = [item for item in found.other_frames if item.place == cell.place]
        for file in dict.fromkeys(item.file for item in inside):
            yield _table(cell, [item for item in inside if item.file == file])


def _table(cell: Cell, items: Sequence[OtherFrames]) -> Table:
    arms = [arm for arm in cell.arms if any(arm in item.errors for item in items)]
    pairs = [pair for pair in items[0].changes if set(pair) <= set(arms)]
    columns = ("frames", "MAE of", *arms, *(f"{arm} / {reference}, %" for arm, reference in pairs))
    rows = []
    for item in items:
        most = max(map(len, item.errors.values()))
        values = [mean_and_spread(list(item.errors.get(arm, {}).values()), most) for arm in arms]
        changes = [shown_change(*item.changes[pair], unit="") for pair in pairs]
        rows.append(
            (f"all {item.frames}" if item.group == ALL else item.group, _MEASURES[item.metric], *values, *changes)
        )
    return Table(f"Errors on {items[0].file}, {cell.name}", columns, rows, ("frames", "MAE of"), _NOTE)
