"""Block bootstrap: intervals of statistics of correlated series.

A simulation's frames are correlated, so they are resampled in runs of consecutive frames longer than the correlation
time (moving blocks: H. R. Künsch, Ann. Stat. 17, 1217 (1989)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scalarpath.core.errors import ArtifactError

CONFIDENCE = 0.95
MISSING_ALLOWED = 0.05

Series = np.ndarray | Sequence[np.ndarray]


def block_indices(lengths: Sequence[int], block: int, samples: int, seed: int) -> np.ndarray:
    """Rows of ``samples`` resampled series, [samples, n], of independent series of the given lengths laid end to end.

    Every resample joins whole blocks of ``block`` consecutive rows, drawn with equal chance from all places where such
    a block fits into one series, until it has as many blocks as the series together.

    Raises ArtifactError where fewer than two blocks fit: no interval can be had.
    """
    if block < 1 or samples < 1:
        raise ArtifactError(f"block = {block} and samples = {samples} of the bootstrap must both be at least 1.")
    blocks = sum(length // block for length in lengths)
    if blocks < 2:
        raise ArtifactError(
            f"{sum(lengths)} frames hold {blocks} block(s) of {block}, too few for an interval; "
            "sample for longer or shorten the blocks."
        )
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    fitting = zip(offsets, lengths, strict=True)
    starts = np.concatenate([offset + np.arange(max(length - block + 1, 0)) for offset, length in fitting])
    drawn = np.random.default_rng(seed).choice(starts, size=(samples, blocks))
    return (drawn[:, :, None] + np.arange(block)).reshape(samples, -1)


def block_resamples(
    statistic: Callable[[np.ndarray], float | np.ndarray], series: Series, block: int, samples: int, seed: int
) -> np.ndarray:
    """Values of a statistic on block resamples, [samples, ...]; for the arguments see ``block_bootstrap``."""
    parts = [np.asarray(series)] if isinstance(series, np.ndarray) else [np.asarray(part) for part in series]
    rows = np.concatenate(parts)
    indices = block_indices([len(part) for part in parts], block, samples, seed)
    return np.array([statistic(rows[index]) for index in indices])


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Percentile interval of resampled values [samples]; NaN where more than one in twenty resamples had no value."""
    if np.isnan(values).mean() > MISSING_ALLOWED:
        return np.nan, np.nan
    low, high = np.nanquantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


def block_bootstrap(
    statistic: Callable[[np.ndarray], float], series: Series, block: int, samples: int, seed: int
) -> tuple[float, float]:
    """95 % percentile interval (low, high) of a statistic of a correlated series.

    statistic: maps resampled rows [n, ...] to a number; series: rows in time order, [n, ...], or several such series
    (replicas), whose blocks are pooled and never straddle two of them; block: rows in a block, longer than the
    correlation time; samples: resamples; seed: of the generator. Raises ArtifactError where fewer than two blocks fit.
    """
    return interval(block_resamples(statistic, series, block, samples, seed))
