"""The change of an error between two arms, over pairs of equal seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from scalarpath.report.cells import Cell
from scalarpath.report.paired_tests import t_test
from scalarpath.report.runs import Run

Change = tuple[float, float, float]
"""Mean log-ratio with the ends of its 95 % t interval; NaN where unknown."""
UNKNOWN_CHANGE: Change = (math.nan, math.nan, math.nan)


def errors_by_arm(cell: Cell, error: Callable[[Run], float]) -> dict[str, dict[int, float]]:
    """An error of every run that knows it, by arm and seed; arms without any are left out."""
    found = {
        arm: {seed: value for seed, run in runs.items() if not math.isnan(value := error(run))}
        for arm, runs in cell.arms.items()
    }
    return {arm: by_seed for arm, by_seed in found.items() if by_seed}


def change_between(cells: Sequence[Cell], arms: tuple[str, str], error: Callable[[Run], float]) -> Change:
    """Mean log-ratio of an error of two arms over the seeds (and cells) that both have; unknown for an arm itself."""
    if arms[0] == arms[1]:
        return UNKNOWN_CHANGE
    strata = []
    for cell in cells:
        if all(arm in cell.arms for arm in arms):
            pairs = [[error(cell.arms[arm][seed]) for arm in arms] for seed in cell.common_seeds(*arms)]
            if ratios := [math.log(a / b) for a, b in pairs if a > 0 and b > 0]:
                strata.append(np.array(ratios))
    return t_test(strata)[:3] if strata else UNKNOWN_CHANGE
