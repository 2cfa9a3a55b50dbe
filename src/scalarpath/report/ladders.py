"""Ladders: cells that differ in the budget alone, in the train frames alone or in the size of the backbone alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.cells import BUDGET, FRAMES, SIZE, Cell, Placed
from scalarpath.report.effects import shown_change
from scalarpath.report.paired_tests import t_test
from scalarpath.report.runs import Run, mae_of, parts_shown

SMALL_GAIN = 0.02
"""A doubling of the budget that brings less than this, a fraction, counts as converged."""


@dataclass(frozen=True)
class Axis:
    """What a ladder goes up in: the number of a run, what it is called, and what to know of a figure."""

    name: str
    label: str
    of: Callable[[Run], float]
    remark: str = ""


AXES = {
    BUDGET: Axis("budget", "optimizer steps", lambda run: run.number("steps")),
    FRAMES: Axis(
        "frames",
        "train frames",
        lambda run: float(len(run.splits["train"])),
        " The number of epochs is the same, so fewer frames are also fewer steps.",
    ),
    SIZE: Axis("size", "parameters", lambda run: run.number("parameters/total")),
}
"""By what parts the cells."""


@dataclass(frozen=True)
class Ladder(Placed):
    """Cells in rising order; ``terms`` are those that its cells share."""

    data: str
    backbone: str
    terms: str
    axis: Axis
    cells: tuple[Cell, ...]

    @property
    def part(self) -> str:
        """The part of the data whose errors are compared."""
        return self.cells[0].part

    @property
    def arms(self) -> list[str]:
        """Those on two rungs or more."""
        names = dict.fromkeys(arm for cell in self.cells for arm in cell.arms)
        return [arm for arm in names if sum(arm in cell.arms for cell in self.cells) > 1]

    def rungs(self, arm: str) -> list[tuple[float, dict[int, Run]]]:
        """Place on the axis and runs by seed of an arm, in rising order."""
        found = [(self._place(cell.arms[arm]), cell.arms[arm]) for cell in self.cells if arm in cell.arms]
        return sorted(found, key=lambda rung: rung[0])

    def _place(self, runs: dict[int, Run]) -> float:
        return float(np.mean([self.axis.of(run) for run in runs.values()]))


@dataclass(frozen=True)
class Doubling(Placed):
    """What doubling the budget from ``start`` to ``end`` steps brings one arm: log-ratio of the MAE with its interval.

    Where the steps do not double, the log-ratio is that per doubling. ``seeds``: the pairs.
    """

    data: str
    backbone: str
    terms: str
    arm: str
    prop: str
    part: str
    start: float
    end: float
    mean: float
    low: float
    high: float
    seeds: int

    @property
    def is_small(self) -> bool:
        """Whether it brings less than SMALL_GAIN."""
        return self.mean > math.log1p(-SMALL_GAIN)


def ladders(cells: Sequence[Cell]) -> list[Ladder]:
    """All ladders that the cells make; a cell may be on several. Runs that do not tell their place make none."""
    found = []
    for key, axis in AXES.items():
        groups: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in cells:
            others = ", ".join(text for name, text in cell.parting.items() if name != key)
            groups.setdefault((cell.data, cell.backbone, others), []).append(cell)
        for place, inside in groups.items():
            different = len({cell.parting.get(key) for cell in inside}) == len(inside) > 1
            if different and not any(math.isnan(axis.of(run)) for cell in inside for run in cell.runs()):
                found.append(Ladder(*place, axis, tuple(inside)))
    return found


def doublings(ladder: Ladder) -> Iterator[Doubling]:
    """Of every arm, quantity and part whose errors are known, from step to step of a ladder of budgets."""
    for arm in ladder.arms:
        rungs = ladder.rungs(arm)
        for prop in (quantity.name for quantity in PRIMARY_FIRST):
            for part in parts_shown(ladder.part):
                for (start, before), (end, after) in pairwise(rungs):
                    pairs = [
                        (before[seed].error(prop, part), after[seed].error(prop, part))
                        for seed in before.keys() & after.keys()
                    ]
                    logs = [math.log(b / a) for a, b in pairs if a > 0 and b > 0]
                    if not logs or end <= start:
                        continue
                    mean, low, high, _ = t_test([np.array(logs) / math.log2(end / start)])
                    yield Doubling(*ladder.place, arm, prop, part, start, end, mean, low, high, len(logs))


@dataclass(frozen=True)
class Convergence(Placed):
    """Whether the training of an arm has converged, by its MAE of one quantity on ``part``.

    ``last`` is the last doubling by part. ``since``: steps from which every doubling brings less than SMALL_GAIN; None
    where the last one still brings more.
    """

    data: str
    backbone: str
    terms: str
    arm: str
    prop: str
    part: str
    last: dict[str, Doubling]
    since: float | None


def convergence(ladder: Ladder) -> list[Convergence]:
    """Of all arms and quantities of a ladder of budgets."""
    series: dict[tuple[str, str], dict[str, list[Doubling]]] = {}
    for doubling in doublings(ladder):
        series.setdefault((doubling.arm, doubling.prop), {}).setdefault(doubling.part, []).append(doubling)
    found = []
    for (arm, prop), by_part in series.items():
        if ladder.part not in by_part:
            continue
        since = None
        for doubling in reversed(by_part[ladder.part]):
            if not doubling.is_small:
                break
            since = doubling.start
        last = {part: steps[-1] for part, steps in by_part.items()}
        found.append(Convergence(*ladder.place, arm, prop, ladder.part, last, since))
    return found


def sentence(item: Convergence) -> str:
    """Whether and from which budget on a doubling brings little."""
    last = item.last[item.part]
    mae, brought = mae_of(item.prop, item.part), shown_change(last.mean, last.low, last.high)
    seeds = f"{last.seeds} seed{'s' if last.seeds > 1 else ''}"
    name, little = f"{item.name}, {item.arm}", f"{100 * SMALL_GAIN:.0f} %"
    if item.since is None:
        # of one seed there is no interval
        doubt = f" Less than {little} is not excluded." if not last.high < math.log1p(-SMALL_GAIN) else ""
        return (
            f"{name}: not converged. The last doubling, from {last.start:,.0f} to {last.end:,.0f} steps, still changed "
            f"the {mae} by {brought}, {seeds}.{doubt}"
        )
    doubt = f" More than {little} is not excluded." if not last.low > math.log1p(-SMALL_GAIN) else ""
    return (
        f"{name}: from {item.since:,.0f} steps on a doubling lowers the {mae} by less than {little}; the last "
        f"one, from {last.start:,.0f} to {last.end:,.0f} steps, changed it by {brought}, {seeds}.{doubt}"
    )
