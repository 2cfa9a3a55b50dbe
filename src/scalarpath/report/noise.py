"""How much errors vary between seeds, and which effects can be seen in spite of that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.cells import BASELINE, Cell, Placed
from scalarpath.report.power import MOST_SEEDS, POWER, needed_pairs, smallest_effect
from scalarpath.report.runs import mae_of

FEWEST_SEEDS = 3
"""From which a spread is told; of two values it is hardly known."""
PLANNED_EFFECT = 0.1
"""The gain, a fraction, for which the number of seeds is told."""


@dataclass(frozen=True)
class Noise(Placed):
    """Spread of the MAE on ``part`` of one quantity between the seeds of one cell; NaN where it is not known.

    ``seeds`` and ``deviation`` are of baseline: number of runs, standard deviation of ln MAE. ``pairs`` and
    ``pair_deviation`` are of the log-ratios of heads to baseline: the fewest pairs of a head, and the deviation of
    single pairs, from all heads that have FEWEST_SEEDS pairs. ``smallest`` is the smallest mean log-ratio, as a size,
    that ``pairs`` pairs find with 90 % power; ``needed`` the number of pairs that finds a gain of PLANNED_EFFECT.
    """

    data: str
    backbone: str
    terms: str
    prop: str
    part: str
    seeds: int
    deviation: float
    pairs: int
    pair_deviation: float
    smallest: float
    needed: int | None


def noise_of(cell: Cell) -> list[Noise]:
    """Of every quantity that the cell has labels of; nothing without baseline."""
    return list(_noise(cell)) if BASELINE in cell.arms else []


def _noise(cell: Cell) -> Iterator[Noise]:
    heads = [arm for arm in cell.arms if arm != BASELINE]
    for prop in (quantity.name for quantity in PRIMARY_FIRST):
        logs = {
            arm: {seed: math.log(run.error(prop)) for seed, run in runs.items() if run.error(prop) > 0}
            for arm, runs in cell.arms.items()
        }
        plain = logs[BASELINE]
        if not plain:
            continue
        ratios = [[logs[arm][seed] - plain[seed] for seed in logs[arm].keys() & plain.keys()] for arm in heads]
        told = [values for values in ratios if len(values) >= FEWEST_SEEDS]
        pairs = min(map(len, told or ratios), default=0)
        deviation = _deviation(told)
        yield Noise(
            *cell.place, prop, cell.part, len(plain),
            _deviation([list(plain.values())] if len(plain) >= FEWEST_SEEDS else []),
            pairs, deviation, smallest_effect(deviation, pairs), needed_pairs(-math.log1p(-PLANNED_EFFECT), deviation),
        )  # fmt: skip


def _deviation(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation about the mean of each group, from all groups together; NaN without any."""
    if not groups:
        return math.nan
    squares = sum(float(np.sum((np.array(values) - np.mean(values)) ** 2)) for values in groups)
    return math.sqrt(squares / sum(len(values) - 1 for values in groups))


def variation(deviation: float) -> float:
    """Coefficient of variation of a lognormal number, in percent, from the deviation of its logarithm."""
    return 100 * math.sqrt(math.expm1(deviation**2))


def gain(log_ratio: float) -> float:
    """The decrease in percent that a log-ratio of this size is."""
    return -100 * math.expm1(-log_ratio)


def sentence(noise: Noise) -> str:
    """What can be seen with the seeds at hand."""
    mae = mae_of(noise.prop, noise.part)
    if math.isnan(noise.pair_deviation):
        what = f"{noise.pairs} of {FEWEST_SEEDS} pairs of seeds" if noise.pairs else "no pairs of seeds"
        alone = "" if math.isnan(noise.deviation) else f"; {mae} of baseline: {variation(noise.deviation):.1f} %"
        return f"{noise.name}: how much the effect of a head varies between seeds is not known ({what}){alone}."
    needed = f"more than {MOST_SEEDS}" if noise.needed is None else str(noise.needed)
    seen, planned = f"{gain(noise.smallest):.1f} % or more", f"{100 * PLANNED_EFFECT:.0f} %"
    return (
        f"{noise.name}: between seeds the {mae} of baseline varies by {_shown(noise.deviation)}, its ratio to a "
        f"head of the same seed by {_shown(noise.pair_deviation)}. With {noise.pairs} seeds a gain of {seen} is seen "
        f"with {100 * POWER:.0f} % power; one of {planned} needs {needed} seeds."
    )


def _shown(deviation: float) -> str:
    return "an unknown amount" if math.isnan(deviation) else f"{variation(deviation):.1f} %"
