"""Intervals of correlated series."""

from __future__ import annotations

import numpy as np
import pytest

from scalarpath.artifacts.bootstrap import block_bootstrap, block_indices, block_resamples, interval
from scalarpath.core.errors import ArtifactError


def correlated(n: int, memory: float, seed: int) -> np.ndarray:
    """A first-order autoregression of unit variance."""
    noise = np.random.default_rng(seed).normal(size=n) * np.sqrt(1 - memory**2)
    values = np.zeros(n)
    for k in range(1, n):
        values[k] = memory * values[k - 1] + noise[k]
    return values


def test_the_interval_of_a_mean_of_independent_values_has_the_textbook_width():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=2000)
    low, high = block_bootstrap(np.mean, values, block=1, samples=2000, seed=1)
    assert low < values.mean() < high
    assert (high - low) == pytest.approx(2 * 1.96 * 2.0 / np.sqrt(2000), rel=0.06)


def test_the_interval_of_a_correlated_mean_covers_the_truth_about_19_times_in_20_only_with_long_blocks():
    covered = {1: 0, 100: 0}
    for trial in range(100):
        series = correlated(2000, 0.9, trial)
        for block in covered:
            low, high = block_bootstrap(np.mean, series, block=block, samples=200, seed=trial)
            covered[block] += low < 0 < high
    assert covered[1] < 60
    assert covered[100] > 85


def test_blocks_are_consecutive_rows_of_one_series():
    indices = block_indices([7, 11], block=4, samples=300, seed=0).reshape(300, -1, 4)
    assert indices.shape[1] == 3
    assert (np.diff(indices, axis=2) == 1).all()
    assert not ((indices[:, :, 0] < 7) & (indices[:, :, -1] >= 7)).any()
    assert set(indices[:, :, 0].ravel()) == {0, 1, 2, 3, *range(7, 15)}


def test_a_statistic_of_several_columns_and_replicas_is_resampled_together():
    rows = [np.column_stack([np.arange(50.0), 3 * np.arange(50.0)]) for _ in range(2)]
    slopes = block_resamples(lambda r: np.polyfit(r[:, 0], r[:, 1], 1), rows, block=5, samples=20, seed=0)
    np.testing.assert_allclose(slopes, [[3.0, 0.0]] * 20, atol=1e-10)


def test_the_same_seed_gives_the_same_interval():
    values = correlated(200, 0.5, 0)
    first, again, other = (block_bootstrap(np.mean, values, 10, 100, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_there_is_no_interval_where_more_than_one_resample_in_twenty_has_no_value():
    values = np.arange(100.0)
    values[:5] = np.nan
    assert interval(values) == pytest.approx((7.35, 96.65))
    values[:6] = np.nan
    assert np.isnan(interval(values)).all()


@pytest.mark.parametrize(("block", "complaint"), [(6, "1 block"), (20, "0 block"), (0, "at least 1")])
def test_a_series_of_less_than_two_blocks_is_refused(block, complaint):
    with pytest.raises(ArtifactError, match=complaint):
        block_bootstrap(np.mean, np.zeros(10), block, 10, 0)
