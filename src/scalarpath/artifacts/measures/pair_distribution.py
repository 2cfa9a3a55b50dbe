"""Pair distribution functions: counting, normalisation, and the lengths and differences read from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from scalarpath.artifacts.bootstrap import block_resamples, interval
from scalarpath.artifacts.pair_search import pairs_within

TOTAL = "total"
ONSET_LEVELS = (0.01, 0.05, 0.1)
MIN_COUNTS = 3.0  # that a level of g must mean in its bin for the onset to be told from noise
PEAK_BINS = 5
PEAK_TOP = 0.8  # of its height: the part of the first peak that a parabola is fitted to


@dataclass(frozen=True)
class PairStructure:
    """g(r) of one kind of pair, what ``structure_measures`` reads from it, with 95 % intervals [low, high].

    ideal_counts: [bins] of one frame; block_counts: [blocks][bins] of all frames of a block, from which intervals come.
    """

    g: list[float]
    measures: dict[str, float]
    intervals: dict[str, list[float]]
    ideal_counts: list[float]
    block_counts: list[list[int]]


def pair_labels(atoms: Atoms) -> list[str]:
    """``total`` and, where there are several elements, every pair of them in the order of atomic numbers: ``Li-F``."""
    symbols = list(dict.fromkeys(atoms[np.argsort(atoms.numbers, kind="stable")].symbols))
    pairs = [f"{a}-{b}" for k, a in enumerate(symbols) for b in symbols[k:]]
    return [TOTAL, *pairs] if len(symbols) > 1 else [TOTAL]


def count_pairs(atoms: Atoms, edges_A: np.ndarray) -> np.ndarray:
    """Pairs of one frame by label and bin of equal width from 0, [labels, bins]; each pair once."""
    labels, bins = pair_labels(atoms), len(edges_A) - 1
    i, j, _, distance = pairs_within(atoms, edges_A[-1])
    where = np.minimum((distance / edges_A[1]).astype(np.int64), bins - 1)
    counts = [np.bincount(where, minlength=bins)]
    symbols = np.array(atoms.get_chemical_symbols())
    for label in labels[1:]:
        a, b = (symbols == symbol for symbol in label.split("-"))
        counts.append(np.bincount(where[(a[i] & b[j]) | (b[i] & a[j])], minlength=bins))
    return np.array(counts)


def ideal_counts(atoms: Atoms, edges_A: np.ndarray) -> np.ndarray:
    """Pairs that as many atoms without interaction would have in the volume, [labels, bins]: g is counts over these."""
    shells = 4 / 3 * np.pi * np.diff(edges_A**3) / atoms.get_volume()
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = [len(atoms) * (len(atoms) - 1) / 2]
    for label in pair_labels(atoms)[1:]:
        a, b = label.split("-")
        n, m = (symbols == a).sum(), (symbols == b).sum()
        pairs.append(n * (n - 1) / 2 if a == b else n * m)
    return np.outer(pairs, shells)


def structure_measures(r_A: np.ndarray, g: np.ndarray, resolved_g: np.ndarray) -> dict[str, float]:
    """Onsets and first peak of g(r); all arrays [bins].

    onset_A_at_<level>: where g first rises through the level, interpolated between bins; NaN where the level is below
    resolved_g, what the statistics can tell from zero. first_peak_A, first_peak_height: vertex of the parabola fitted
    to the top fifth of the first peak, to five bins at least; NaN where it has none there.
    """
    onsets = {f"onset_A_at_{level}": _onset(r_A, g, level, resolved_g) for level in ONSET_LEVELS}
    peak, height = _first_peak(r_A, g)
    return {**onsets, "first_peak_A": peak, "first_peak_height": height}


def _onset(r: np.ndarray, g: np.ndarray, level: float, resolved: np.ndarray) -> float:
    above = np.flatnonzero(g >= level)
    if not above.size or above[0] == 0 or resolved[above[0]] > level:
        return np.nan
    k = above[0]
    return float(r[k - 1] + (level - g[k - 1]) / (g[k] - g[k - 1]) * (r[k] - r[k - 1]))


def _first_peak(r: np.ndarray, g: np.ndarray) -> tuple[float, float]:
    """The first peak is the top of the first stretch where a running mean of g is over half of its largest value."""
    if len(g) < PEAK_BINS or not g.any():
        return np.nan, np.nan
    smooth = np.convolve(g, np.full(PEAK_BINS, 1 / PEAK_BINS), mode="same")
    start, stop = _stretch(smooth >= 0.5 * smooth.max(), int((smooth >= 0.5 * smooth.max()).argmax()))
    k = start + int(smooth[start:stop].argmax())
    start, stop = _stretch(smooth >= PEAK_TOP * smooth[k], k)
    half = PEAK_BINS // 2
    start, stop = min(start, k - half), max(stop, k + half + 1)
    if start < 0 or stop > len(g):
        return np.nan, np.nan
    curvature, slope, top = np.polyfit(r[start:stop] - r[k], g[start:stop], 2)
    if curvature >= 0 or not r[start] - r[k] <= -slope / (2 * curvature) <= r[stop - 1] - r[k]:
        return np.nan, np.nan
    return float(r[k] - slope / (2 * curvature)), float(top - slope**2 / (4 * curvature))


def _stretch(inside: np.ndarray, k: int) -> tuple[int, int]:
    """Start and stop of the run of True that holds ``k``."""
    before, after = np.flatnonzero(~inside[:k]), np.flatnonzero(~inside[k:])
    return int(before[-1]) + 1 if before.size else 0, k + int(after[0]) if after.size else len(inside)


def difference_measures(r_A: np.ndarray, g: np.ndarray, other: np.ndarray, ideal: np.ndarray) -> dict[str, float]:
    """g_mae: mean |g - other| over all r; wasserstein_A: distance between the two distributions of pair distances.

    The latter is the integral of the difference of the cumulative distributions (S. S. Vallender, Theory Probab. Appl.
    18, 784 (1974)) of distances up to the last bin; ideal: counts that turn g into numbers of pairs. All arrays
    [bins].
    """
    pairs, others = g * ideal, other * ideal
    distance = np.nan
    if pairs.any() and others.any():
        gap = np.cumsum(pairs) / pairs.sum() - np.cumsum(others) / others.sum()
        distance = np.abs(gap).sum() * (r_A[1] - r_A[0])
    return {"g_mae": float(np.abs(g - other).mean()), "wasserstein_A": float(distance)}


def pair_structure(r: np.ndarray, counts: np.ndarray, ideal: np.ndarray, block: int, samples: int) -> PairStructure:
    """g(r) of one kind of pair from the counts of its blocks, [blocks, bins], of ``block`` frames each.

    r: bin centres (Å); ideal: counts of one frame without interaction, [bins]; samples: of the bootstrap.
    """
    resolved = MIN_COUNTS / (ideal * block * len(counts))

    def measure(rows: np.ndarray) -> dict[str, float]:
        return structure_measures(r, rows.mean(axis=0) / (ideal * block), resolved)

    values = block_resamples(lambda rows: np.array(list(measure(rows).values())), counts, 1, samples, seed=0)
    measures = measure(counts)
    intervals = {name: list(interval(column)) for name, column in zip(measures, values.T, strict=True)}
    g = counts.mean(axis=0) / (ideal * block)
    return PairStructure(g.tolist(), measures, intervals, ideal.tolist(), counts.tolist())
