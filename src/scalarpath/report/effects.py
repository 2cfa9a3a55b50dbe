"""Effects: how an arm's errors compare with those of a reference arm, per data set and over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from scalarpath.artifacts.bootstrap import interval
from scalarpath.core.errors import ReportError
from scalarpath.core.metrics import ERROR_SIZES, TEST
from scalarpath.core.quantities import PRIMARY, PRIMARY_FIRST
from scalarpath.report.cells import BASELINE, Cell, Placed
from scalarpath.report.frame_errors import FILE, read_group_errors
from scalarpath.report.paired_tests import (
    holm,
    resampled_log_errors,
    resampled_mean_ratios,
    sign_flip_p,
    sign_test_p,
    t_test,
    wilcoxon_p,
)
from scalarpath.report.settings import BootstrapSettings
from scalarpath.report.table import UNKNOWN

ARM = "panpgs"
NEEDED_CONTROL = "ctrl_mlp"
OF_ITS_SIZE = (NEEDED_CONTROL, "wide_param", "wide_flop")
CONTROLS = {
    ARM: (*OF_ITS_SIZE, "density", "nonlinear", "panpgs_shuffle"),
    "linear": ("ctrl_linear",),
    "ionic": ("linear", "ctrl_linear"),
}
"""Arms with what they are compared with besides baseline. Others, such as parts of ARM, with those OF_ITS_SIZE."""
ALL_DATA = "all data sets"
FEW_GROUPS = 10
NEEDED_SEEDS = 5
"""Pairs from which an effect may decide anything."""
MOST_SHOWN = 999  # percent


@dataclass(frozen=True)
class Effect(Placed):
    """Paired comparison of two arms in one quantity and statistic, such as ``forces`` and ``mae``, on one part.

    ``data`` is ALL_DATA for the mean over data sets, whose number is ``data_sets``. ``reference`` is the reference arm,
    with which ``arm`` is compared. ``seeds`` are those of the pairs (of each data set).

    ``log_ratios`` holds ln(error of the arm / error of the reference arm) of every pair, ``mean``, ``low`` and ``high``
    their mean and its 95 % t interval. ``bootstrap_low`` and ``bootstrap_high`` are the 95 % interval from resampled
    seeds and test groups, NaN without test_frames.csv. ``arm_error`` and ``reference_error`` are means of the errors
    over the pairs in the shown unit, NaN over data sets.

    ``p_t`` is the p value of the t test, ``p_holm`` the same adjusted over the data sets. ``p_sign_flip``,
    ``p_wilcoxon`` and ``p_sign`` are those of exact tests; ranks of different data sets are never mixed.
    """

    data: str
    backbone: str
    terms: str
    arm: str
    reference: str
    prop: str
    statistic: str
    part: str
    seeds: tuple[int, ...]
    data_sets: int
    log_ratios: tuple[float, ...]
    arm_error: float
    reference_error: float
    mean: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float
    p_t: float
    p_holm: float
    p_sign_flip: float
    p_wilcoxon: float
    p_sign: float

    @property
    def is_main(self) -> bool:
        """Whether it is that on the MAE of the primary quantity, against baseline."""
        return (self.prop, self.statistic, self.reference) == (PRIMARY, "mae", BASELINE)

    @property
    def intervals(self) -> list[tuple[float, float]]:
        """The intervals that exist: t, then bootstrap."""
        pairs = [(self.low, self.high), (self.bootstrap_low, self.bootstrap_high)]
        return [pair for pair in pairs if not math.isnan(pair[0])]

    @property
    def is_decided(self) -> bool:
        """Whether there is an interval, and every one excludes zero."""
        return bool(self.intervals) and (
            all(low > 0 for low, _ in self.intervals) or all(high < 0 for _, high in self.intervals)
        )


def percent(log_ratio: float) -> float:
    """Change in percent: 100 (e^l - 1)."""
    return 100 * math.expm1(log_ratio)


def shown_effect(effect: Effect) -> str:
    """Change in percent with its t interval and number of pairs."""
    pairs = len(effect.log_ratios)
    count = f"{pairs} seed{'s' if pairs > 1 else ''}"
    if effect.data == ALL_DATA:
        count = f"{pairs} pairs on {effect.data_sets} data sets"
    return f"{shown_change(effect.mean, effect.low, effect.high)}, {count}"


def shown_change(mean: float, low: float, high: float, unit: str = " %") -> str:
    """A log-ratio in percent with its interval, where there is one; ``–`` where it is not known itself."""
    if math.isnan(mean):
        return UNKNOWN
    middle, *ends = (signed(percent(value)) for value in (mean, low, high))
    return f"{middle}{unit}" + ("" if math.isnan(low) else f" [{', '.join(ends)}]")


def arms_by_effect(cell: Cell, effects: Sequence[Effect]) -> list[str]:
    """The arms of a cell, lowest error first; last those that baseline is not compared with."""
    gains = {BASELINE: 0.0}
    for quantity in reversed(PRIMARY_FIRST):  # the primary one decides where there is one
        gains |= {
            effect.arm: effect.mean
            for effect in effects
            if (effect.place, effect.reference) == (cell.place, BASELINE)
            and (effect.prop, effect.statistic) == (quantity.name, "mae")
        }
    return sorted(cell.arms, key=lambda arm: (gains.get(arm, math.inf), arm))


def signed(change: float) -> str:
    """A change in percent with its sign, cut off where only its size counts."""
    return f"{change:+.1f}" if change < MOST_SHOWN else f">{MOST_SHOWN}"


def all_effects(cells: Sequence[Cell], settings: BootstrapSettings) -> tuple[list[Effect], list[str]]:
    """Effects of every arm against baseline and of arms against their controls, and notes on what is missing."""
    found: list[Effect] = []
    resamples: dict[tuple[str, ...], np.ndarray] = {}
    notes: list[str] = []
    for cell in cells:
        logs, about = _resampled_runs(cell, settings)
        notes += about
        for arm, reference in comparisons(cell):
            generator = _generator(settings, cell, "seeds")
            for effect, drawn in _effects_of(cell, arm, reference, logs, generator):
                found.append(effect)
                if drawn is not None:
                    resamples[_key(effect)] = drawn
    found = _with_holm(found)
    return found + list(_pooled(found, resamples)), notes


def comparisons(cell: Cell) -> Iterator[tuple[str, str]]:
    """(arm, reference) of all comparisons that the arms of a cell allow."""
    if BASELINE in cell.arms:
        yield from ((arm, BASELINE) for arm in cell.arms if arm != BASELINE)
    for arm in cell.arms:
        yield from ((arm, control) for control in _controls(arm) if control in cell.arms)


def _controls(arm: str) -> tuple[str, ...]:
    """The controls of an arm; none for an arm that is itself one and nothing else."""
    if arm in CONTROLS:
        return CONTROLS[arm]
    return () if arm in {BASELINE, *chain(*CONTROLS.values())} else OF_ITS_SIZE


def _effects_of(
    cell: Cell,
    arm: str,
    reference: str,
    logs: Mapping[tuple[str, str, int], np.ndarray],
    generator: np.random.Generator,
) -> Iterator[tuple[Effect, np.ndarray | None]]:
    """Of two arms, by property and statistic, with the resampled means where there are any."""
    for prop in (quantity.name for quantity in PRIMARY_FIRST):
        for statistic in ERROR_SIZES:
            errors = {
                seed: [cell.arms[name][seed].error(prop, statistic=statistic) for name in (arm, reference)]
                for seed in cell.common_seeds(arm, reference)
            }
            errors = {seed: pair for seed, pair in errors.items() if all(value > 0 for value in pair)}
            if not errors:
                continue
            mine, theirs = (np.array(column) for column in zip(*errors.values(), strict=True))
            keys = [[(prop, name, seed) for seed in errors] for name in (arm, reference)]
            drawn = None
            if statistic == "mae" and all(key in logs for side in keys for key in side):
                first, second = (np.stack([logs[key] for key in side], axis=1) for side in keys)
                drawn = resampled_mean_ratios(first, second, generator)
            effect = _effect([np.log(mine / theirs)], drawn)
            yield (
                replace(
                    effect, data=cell.data, backbone=cell.backbone, terms=cell.terms, arm=arm, reference=reference,
                    prop=prop, statistic=statistic, part=cell.part, seeds=tuple(errors), arm_error=float(mine.mean()),
                    reference_error=float(theirs.mean()),
                ),
                drawn,
            )  # fmt: skip


def _effect(strata: Sequence[np.ndarray], drawn: np.ndarray | None) -> Effect:
    """The numbers of an effect, without its names."""
    values = np.concatenate(strata)
    mean, low, high, p = t_test(strata)
    bootstrap = (math.nan, math.nan)
    if drawn is not None and min(map(len, strata)) > 1:  # one seed, resampled, says nothing about seeds
        bootstrap = interval(drawn)
    return Effect(
        data=ALL_DATA, backbone="", terms="", arm="", reference="", prop="", statistic="", part="", seeds=(),
        data_sets=len(strata),
        log_ratios=tuple(float(value) for value in values), arm_error=math.nan, reference_error=math.nan,
        mean=mean, low=low, high=high, bootstrap_low=bootstrap[0], bootstrap_high=bootstrap[1], p_t=p, p_holm=math.nan,
        p_sign_flip=sign_flip_p(strata), p_sign=sign_test_p(values),
        p_wilcoxon=wilcoxon_p(values) if len(strata) == 1 else math.nan,
    )  # fmt: skip


def _with_holm(effects: Sequence[Effect]) -> list[Effect]:
    """With p values adjusted over the data sets on which a comparison was made."""
    result = {_key(effect): effect for effect in effects}
    for family in _families(effects):
        for effect, p in zip(family, holm([effect.p_t for effect in family]), strict=True):
            result[_key(effect)] = replace(effect, p_holm=p)
    return list(result.values())


def _pooled(effects: Sequence[Effect], resamples: Mapping[tuple[str, ...], np.ndarray]) -> Iterator[Effect]:
    """Means over data sets, where a comparison was made on more than one."""
    for family in _families(effects):
        if len(family) < 2:
            continue
        drawn = [resamples.get(_key(effect)) for effect in family]
        known = [values for values in drawn if values is not None]
        mean = np.mean(known, axis=0) if len(known) == len(family) else None
        pooled = _effect([np.array(effect.log_ratios) for effect in family], mean)
        first = family[0]
        seeds = min((effect.seeds for effect in family), key=len)
        yield replace(
            pooled, backbone=first.backbone, terms=first.terms, arm=first.arm, reference=first.reference,
            prop=first.prop, statistic=first.statistic, part=first.part, seeds=seeds,
        )  # fmt: skip


def _families(effects: Sequence[Effect]) -> list[list[Effect]]:
    """Effects that differ in the data set alone."""
    families: dict[tuple[str, ...], list[Effect]] = {}
    for effect in effects:
        families.setdefault(_key(effect)[1:], []).append(effect)
    return list(families.values())


def _key(effect: Effect) -> tuple[str, ...]:
    return *effect.place, effect.arm, effect.reference, effect.prop, effect.statistic


def _resampled_runs(
    cell: Cell, settings: BootstrapSettings
) -> tuple[dict[tuple[str, str, int], np.ndarray], list[str]]:
    """Log errors over resampled groups by (property, arm, seed), and notes on what is missing for that.

    Nothing where other than test errors are compared: single frames are known of the test part alone.
    """
    if cell.part != TEST:
        return {}, []
    found = [(run, read_group_errors(run)) for run in cell.runs()]
    known = [(run, errors) for run, errors in found if errors is not None]
    notes = []
    if len(known) < len(found):
        missing = len(found) - len(known)
        notes.append(f"{cell.name}: no bootstrap interval, {missing} of {len(found)} runs lack {FILE}.")
    for run, errors in known[1:]:
        if errors.frames != known[0][1].frames:
            raise ReportError(f"{known[0][0].path} and {run.path} have different test frames or groups ({FILE}).")
    if known and (groups := len(known[0][1].groups)) < FEW_GROUPS:
        notes.append(
            f"{cell.name}: the test frames form {groups} group{'s' if groups > 1 else ''}, too few for the bootstrap "
            "to say much about new structures."
        )
    result: dict[tuple[str, str, int], np.ndarray] = {}
    for prop in (quantity.name for quantity in PRIMARY_FIRST):
        rows = [(run, errors.errors[prop]) for run, errors in known if prop in errors.errors]
        if not rows:
            continue
        # the same generator for every property: the same resamples
        generator = _generator(settings, cell, "groups")
        drawn = resampled_log_errors(np.stack([sums for _, sums in rows]), settings.samples, generator)
        result |= {(prop, run.arm, run.seed): drawn[:, column] for column, (run, _) in enumerate(rows)}
    return result, notes


def _generator(settings: BootstrapSettings, cell: Cell, what: str) -> np.random.Generator:
    """Of its own for every cell, so that data sets are resampled independently."""
    return np.random.default_rng([settings.seed, *f"{cell.name} {what}".encode()])
