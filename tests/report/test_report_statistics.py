"""Every statistic against an answer from elsewhere."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from scalarpath.report.paired_tests import (
    EXACT_PAIRS,
    holm,
    resampled_log_errors,
    resampled_mean_ratios,
    sign_flip_p,
    sign_test_p,
    t_test,
    wilcoxon_p,
)

VALUES = np.array([-0.3, -0.1, -0.25, 0.05, -0.2])


def test_the_t_interval_of_five_seeds_is_2_776_standard_errors_wide_on_each_side() -> None:
    # by hand: mean 0.3, deviations -.2 -.1 0 .1 .2, variance .1/4, standard error sqrt(.025/5)
    mean, low, high, _ = t_test([np.array([0.1, 0.2, 0.3, 0.4, 0.5])])
    assert (mean, low, high) == pytest.approx((0.3, 0.3 - 2.776445 * 0.0707107, 0.3 + 2.776445 * 0.0707107), rel=1e-6)


def test_interval_and_p_value_are_those_of_scipys_paired_t_test() -> None:
    expected = stats.ttest_1samp(VALUES, 0.0)
    assert t_test([VALUES])[1:3] == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert t_test([VALUES])[3] == pytest.approx(expected.pvalue)


def test_over_two_data_sets_the_interval_is_half_that_of_welchs_test_of_one_against_the_other_negated() -> None:
    # (x + y)/2 is half the difference of x and -y, whose interval scipy has
    other = np.array([-0.6, -0.1, -0.4])
    welch = stats.ttest_ind(VALUES, -other, equal_var=False)
    mean, low, high, p = t_test([VALUES, other])
    assert mean == pytest.approx((VALUES.mean() + other.mean()) / 2)
    assert (2 * low, 2 * high) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert p == pytest.approx(welch.pvalue)


def test_one_seed_has_no_interval() -> None:
    assert t_test([np.array([-0.2])]) == pytest.approx((-0.2, math.nan, math.nan, math.nan), nan_ok=True)
    assert math.isnan(t_test([VALUES, np.array([-0.2])])[1])


def test_seeds_that_do_not_differ_have_an_interval_without_width() -> None:
    assert t_test([np.full(3, -0.1)])[1:] == pytest.approx((-0.1, -0.1, 0.0))


def test_the_sign_flip_test_is_scipys_exact_permutation_test() -> None:
    expected = stats.permutation_test((VALUES,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p([VALUES]) == pytest.approx(expected.pvalue)


def test_within_data_sets_it_counts_the_flips_of_the_mean_of_means() -> None:
    strata = [VALUES, np.array([-0.4, 0.1, -0.2])]
    weights = np.concatenate([np.full(len(values), 1 / len(values)) for values in strata])
    terms = np.concatenate(strata) * weights
    flips = [abs(np.dot(signs, terms)) for signs in itertools.product((1, -1), repeat=len(terms))]
    expected = np.mean(np.array(flips) >= abs(terms.sum()) - 1e-12)
    assert sign_flip_p(strata) == pytest.approx(expected)


def test_five_seeds_that_all_gain_reach_the_floor_of_both_exact_tests_and_no_less() -> None:
    values = np.array([-0.5, -0.4, -0.3, -0.2, -0.1])
    assert sign_flip_p([values]) == wilcoxon_p(values) == sign_test_p(values) == 0.0625
    assert sign_flip_p([np.full(5, -0.3)]) == 0.0625  # equal sums are not parted by rounding


def test_twenty_pairs_that_all_gain_have_2_of_2_to_the_20_flips() -> None:
    values = np.random.default_rng(0).uniform(-0.3, -0.1, 20)
    assert sign_flip_p(np.split(values, 4)) == 2 / 2**20


def test_tests_without_enough_pairs_have_no_p_value() -> None:
    assert math.isnan(sign_flip_p([np.array([-0.2])]))
    assert math.isnan(sign_flip_p([np.full(EXACT_PAIRS + 1, -0.2)]))
    assert math.isnan(wilcoxon_p(np.array([-0.2])))
    assert math.isnan(sign_test_p(np.zeros(3)))


def test_pairs_that_do_not_differ_are_no_evidence() -> None:
    assert sign_flip_p([np.zeros(4)]) == wilcoxon_p(np.zeros(4)) == 1.0


def test_wilcoxon_by_hand() -> None:
    # ranks of |x|: .05 1, .1 2, .2 3, .25 4, .3 5; the positive ones sum to 1: subsets of {1..5} with a sum <= 1: 2
    assert wilcoxon_p(VALUES) == pytest.approx(2 * 2 / 32)


def test_the_sign_test_by_hand() -> None:
    # 4 of 5 gain: (C(5,0) + C(5,1)) / 2^5, twice
    assert sign_test_p(VALUES) == pytest.approx(2 * 6 / 32)


def test_holm_multiplies_the_smallest_by_the_number_of_tests_and_never_decreases() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, math.nan, 0.9]) == pytest.approx([1.0, math.nan, 1.0], nan_ok=True)


def test_resampled_groups_are_those_of_a_loop_over_resamples() -> None:
    sums = np.array([[1.0, 5.0, 2.0], [2.0, 4.0, 8.0]])
    found = resampled_log_errors(sums, 7, np.random.default_rng(3))
    generator = np.random.default_rng(3)
    for row in found:
        counts = generator.multinomial(3, [1 / 3] * 3)
        assert row == pytest.approx([math.log(sum(c * s for c, s in zip(counts, run, strict=True))) for run in sums])


def test_a_resample_without_labels_gives_no_ratio() -> None:
    logs = resampled_log_errors(np.array([[0.0, 3.0], [0.0, 6.0]]), 200, np.random.default_rng(0))
    ratios = resampled_mean_ratios(logs[:, :1], logs[:, 1:], np.random.default_rng(0))
    assert 20 < np.isnan(ratios).sum() < 80  # both draws hit the first group: a quarter
    assert np.nanmax(np.abs(ratios - math.log(0.5))) < 1e-12


def test_resampling_seeds_alone_has_the_spread_of_the_mean_of_resampled_seeds() -> None:
    logs = np.tile(VALUES, (20000, 1))
    ratios = resampled_mean_ratios(logs, np.zeros_like(logs), np.random.default_rng(1))
    assert ratios.mean() == pytest.approx(VALUES.mean(), abs=2e-3)
    assert ratios.std() == pytest.approx(VALUES.std() / math.sqrt(5), rel=0.02)


def test_the_t_interval_covers_the_truth_in_95_of_100_studies() -> None:
    generator = np.random.default_rng(5)
    studies = generator.normal(-0.2, 0.1, (2000, 5))
    covered = [low < -0.2 < high for _, low, high, _ in (t_test([study]) for study in studies)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)
