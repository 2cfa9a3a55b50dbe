"""Statistics of paired log-ratios ln(error of an arm / error of its reference), one per seed; below zero is a gain."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
EXACT_PAIRS = 44  # beyond, the halves of the sign-flip test no longer fit into memory
_DRAWS_AT_ONCE = 500


def t_test(strata: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """Mean of the strata's means, its 95 % interval and two-sided p value: (mean, low, high, p).

    One stratum is Student's paired t. Of several (data sets), each weighs the same, the variances of their means add,
    and the degrees of freedom are Welch's and Satterthwaite's: the interval is for these data sets, with new seeds.
    Interval and p are NaN where a stratum has fewer than two values.
    """
    mean = float(np.mean([np.mean(values) for values in strata]))
    if min(len(values) for values in strata) < 2:
        return mean, math.nan, math.nan, math.nan
    variances = np.array([np.var(values, ddof=1) / len(values) for values in strata])
    error = math.sqrt(variances.sum()) / len(strata)
    if error == 0.0:
        return mean, mean, mean, float(mean == 0.0)
    freedom = variances.sum() ** 2 / sum(v**2 / (len(x) - 1) for v, x in zip(variances, strata, strict=True))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * error
    return mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, freedom))


def sign_flip_p(strata: Sequence[np.ndarray]) -> float:
    """Exact two-sided p value of the mean of the strata's means under all 2^n flips of signs; NaN below two pairs.

    The sums of all flips are those of the first half of the pairs plus those of the second half, so that counting
    takes 2^(n/2) steps. Beyond EXACT_PAIRS pairs it is NaN.
    """
    terms = np.concatenate([np.asarray(values) / len(values) for values in strata])
    if not 2 <= len(terms) <= EXACT_PAIRS:
        return math.nan
    threshold = abs(terms.sum())
    threshold -= 1e-9 * np.abs(terms).sum()  # rounding must not part equal sums
    if threshold <= 0:
        return 1.0
    first, second = _all_flips(terms[::2]), np.sort(_all_flips(terms[1::2]))
    beyond = (len(second) - np.searchsorted(second, threshold - first)).sum()
    return float(2 * beyond / 2.0 ** len(terms))


def _all_flips(terms: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for term in terms:
        sums = np.concatenate([sums + term, sums - term])
    return sums


def wilcoxon_p(values: np.ndarray) -> float:
    """Two-sided p value of Wilcoxon's signed ranks; NaN below two pairs, 1 where no pair differs."""
    if len(values) < 2:
        return math.nan
    return float(stats.wilcoxon(values).pvalue) if np.any(values) else 1.0


def sign_test_p(values: np.ndarray) -> float:
    """Two-sided p value of the number of pairs that gain, of those that differ; NaN where none does."""
    differing = values[values != 0]
    if not len(differing):
        return math.nan
    return float(stats.binomtest(int((differing < 0).sum()), len(differing)).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values (S. Holm, Scand. J. Stat. 6, 65 (1979)); NaN stays and does not count as a test."""
    adjusted, largest = [math.nan] * len(p_values), 0.0
    order = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = largest
    return adjusted


def resampled_log_errors(sums: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Logarithms [samples, runs] of the runs' errors over resampled groups.

    sums: [runs, groups], sums of weighted absolute errors. A resample draws as many groups as there are, with
    replacement, and is the same for all runs: they are tested on the same frames, so a difficult group is difficult for
    all. The logarithm lacks that of the summed weights, which is equal for all runs and leaves every ratio.
    """
    groups = sums.shape[1]
    parts = []
    for start in range(0, samples, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, samples - start)
        parts.append(generator.multinomial(groups, np.full(groups, 1 / groups), size=count) @ sums.T)
    with np.errstate(divide="ignore"):  # a resample without any label: -inf, which makes its ratio NaN
        return np.log(np.concatenate(parts))


def resampled_mean_ratios(arm: np.ndarray, reference: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Means [samples] of the log-ratios over resampled seeds, from both ``resampled_log_errors``, [samples, seeds]."""
    samples, seeds = arm.shape
    drawn = generator.integers(seeds, size=(samples, seeds))
    with np.errstate(invalid="ignore"):
        return np.take_along_axis(arm - reference, drawn, axis=1).mean(axis=1)
