"""Tables of errors by element and config_type, one per cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scalarpath.core.quantities import QUANTITIES
from scalarpath.report.breakdown import Breakdown
from scalarpath.report.cells import BASELINE, Cell
from scalarpath.report.changes import UNKNOWN_CHANGE
from scalarpath.report.effects import shown_change
from scalarpath.report.table import Table, mean_and_spread

if TYPE_CHECKING:
    from scalarpath.report.aggregate import Aggregate

FILE = "groups.csv"
SHOWN = ("forces", "energy")
MOST_GROUPS = 20  # of a kind in a table: those with most labels


def breakdown_tables(found: Aggregate) -> Iterator[Table]:
    """For every cell whose runs tell more than one group of a kind."""
    for cell in found.cells:
        inside = [item for item in found.breakdown if (item.place, item.statistic) == (cell.place, "mae")]
        yield _table(cell, inside)


def _table(cell: Cell, items: Sequence[Breakdown]) -> Table:
    arms = [arm for arm in cell.arms if any(arm in item.errors for item in items)]
    compared = [arm for arm in arms if arm != BASELINE and BASELINE in arms]
    columns = ["of", "MAE of", "labels"]
    for arm in arms:
        columns += [arm, f"{arm}: change, %"] if arm in compared else [arm]
    rows, left_out = [], 0
    for prop in SHOWN:
        for kind in dict.fromkeys(item.kind for item in items):
            groups = [item for item in items if (item.prop, item.kind) == (prop, kind)]
            largest = sorted(groups, key=lambda item: -item.labels)[:MOST_GROUPS]
            left_out += len(groups) - len(largest)
            rows += [_row(item, arms, compared) for item in groups if item in largest and len(groups) > 1]
    note = (
        f"MAE on {cell.part} frames, mean ± standard deviation over seeds (number of seeds where it is not the same); "
        "change against baseline with its 95 % t interval over pairs of equal seed. Errors of an element are those of "
        "its atoms. Labels: how many numbers the MAE rests on, three for the force on an atom. There are many "
        "comparisons in this table: some look large by chance."
    )
    if left_out:
        note += f" The {MOST_GROUPS} groups with most labels; {left_out} more rows are in {FILE}."
    return Table(f"Errors by element and config_type, {cell.name}", tuple(columns), rows, ("of", "MAE of"), note)


def _row(item: Breakdown, arms: Sequence[str], compared: Sequence[str]) -> tuple[str, ...]:
    quantity = QUANTITIES[item.prop]
    cells = [item.group, f"{quantity.noun}, {quantity.shown_unit}", f"{item.labels:,}"]
    most = max(map(len, item.errors.values()))
    for arm in arms:
        cells.append(mean_and_spread(list(item.errors.get(arm, {}).values()), most))
        if arm in compared:
            cells.append(shown_change(*item.changes.get(arm, UNKNOWN_CHANGE), unit=""))
    return tuple(cells)
