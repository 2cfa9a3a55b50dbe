"""Tables of errors on the frames of other files, one per cell and file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scalarpath.core.metrics import ENERGY_ABOUT_MEDIAN, metric_name
from scalarpath.core.quantities import PRIMARY_FIRST, QUANTITIES
from scalarpath.report.breakdown_tables import SHOWN
from scalarpath.report.cells import Cell
from scalarpath.report.changes import UNKNOWN_CHANGE
from scalarpath.report.effects import shown_change
from scalarpath.report.other_frames import OtherFrames
from scalarpath.report.table import Table, mean_and_spread

if TYPE_CHECKING:
    from scalarpath.report.aggregate import Aggregate

FILE = "other_frames.csv"
_MEASURES = {metric_name(q.name): f"{q.noun}, {q.shown_unit}" for q in PRIMARY_FIRST}
_MEASURES[ENERGY_ABOUT_MEDIAN] = f"energy about the median error, {QUANTITIES['energy'].shown_unit}"
_OF_KINDS = {metric_name(name) for name in SHOWN}
_NOTE = (
    "MAE on frames that no run was trained on (evaluate.py frames=), mean ± standard deviation over seeds (number of "
    "seeds where it is not the same); changes against baseline and controls are paired by seed, with their 95 % t "
    "interval over seeds. Energies of two methods differ by a constant, which the error about the median error of each "
    f"run leaves out. All quantities of all kinds of frames: {FILE}."
)


def other_frames_tables(found: Aggregate) -> Iterator[Table]:
    """What was measured with ``evaluate.py frames=``."""
    for cell in found.cells:
        inside = [item for item in found.other_frames if item.place == cell.place]
        for file in dict.fromkeys(item.file for item in inside):
            yield _table(cell, [item for item in inside if item.file == file])


def _table(cell: Cell, items: Sequence[OtherFrames]) -> Table:
    """A line per kind of frames, measure and arm."""
    shown = [item for item in items if item.group is None or item.metric in _OF_KINDS]
    measured = {arm for item in items for arm in item.errors}
    references = dict.fromkeys(ref for pair in items[0].changes if measured.issuperset(pair) for ref in pair[1:])
    columns = ("frames", "MAE of", "head", "MAE", *(f"against {reference}, %" for reference in references))
    rows = []
    for item in shown:
        most = max(map(len, item.errors.values()))
        for arm in (arm for arm in cell.arms if arm in item.errors):
            changes = [item.changes.get((arm, reference), UNKNOWN_CHANGE) for reference in references]
            group = f"all {item.frames}" if item.group is None else item.group
            error = mean_and_spread(list(item.errors[arm].values()), most)
            rows.append(
                (group, _MEASURES[item.metric], arm, error, *(shown_change(*each, unit="") for each in changes))
            )
    return Table(f"Errors on {items[0].file}, {cell.name}", columns, rows, ("frames", "MAE of", "head"), _NOTE)
