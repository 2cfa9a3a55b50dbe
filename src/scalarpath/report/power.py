"""How small an effect a paired t test sees, from the spread of the log-ratios."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from scipy import optimize, stats

LEVEL = 0.05
"""Of the two-sided test."""
POWER = 0.9
MOST_SEEDS = 1000
"""Beyond, a number of seeds is no plan."""


def power(effect: float, deviation: float, pairs: int) -> float:
    """Chance that a two-sided paired t test finds a mean log-ratio ``effect``; ``deviation``: of single log-ratios.

    From the noncentral t distribution with ``pairs`` - 1 degrees of freedom. NaN below two pairs.
    """
    if pairs < 2:
        return math.nan
    critical = float(stats.t.isf(LEVEL / 2, pairs - 1))
    shift = abs(effect) * math.sqrt(pairs) / deviation
    # far from zero SciPy has NaN for the chance of an effect of the wrong sign, which is below 1e-8 there
    wrong_sign = float(np.nan_to_num(stats.nct.cdf(-critical, pairs - 1, shift)))
    return float(stats.nct.sf(critical, pairs - 1, shift)) + wrong_sign


def smallest_effect(deviation: float, pairs: int) -> float:
    """The smallest mean log-ratio, as a size, that is found with POWER; NaN below two pairs."""
    if pairs < 2 or math.isnan(deviation):
        return math.nan
    if deviation == 0.0:
        return 0.0
    # in units of the deviation; two pairs need some 80 of them
    return deviation * float(optimize.brentq(lambda size: power(size, 1.0, pairs) - POWER, 1e-6, 200.0))


def needed_pairs(effect: float, deviation: float) -> int | None:
    """Smallest number of pairs that finds ``effect`` with POWER; None beyond MOST_SEEDS and for an unknown spread."""
    if math.isnan(deviation):
        return None
    if deviation == 0.0:
        return 2
    enough = bisect_left(range(MOST_SEEDS + 1), True, lo=2, key=lambda pairs: power(effect, deviation, pairs) >= POWER)
    return enough if enough <= MOST_SEEDS else None
