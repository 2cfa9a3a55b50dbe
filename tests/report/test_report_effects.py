"""Effects of runs with known errors."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import about, frame, report_of, totals, write_arm, write_run

from scalarpath.report.aggregate import Aggregate
from scalarpath.report.effects import ALL_DATA, Effect


def effect(found: Aggregate, arm: str, reference: str = "baseline", prop: str = "forces", **more: str) -> Effect:
    wanted = {"arm": arm, "reference": reference, "prop": prop, "statistic": "mae", **more}
    (one,) = [item for item in found.effects if all(getattr(item, key) == value for key, value in wanted.items())]
    return one


def test_an_effect_is_the_mean_log_ratio_of_pairs_of_seeds(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0, 0.0, 0.0])  # 100, 110, 120 meV/Å
    write_arm(tmp_path, "panpgs", [math.log(0.5), math.log(0.8), math.log(0.4)])
    found = effect(report_of(tmp_path), "panpgs")
    assert found.log_ratios == pytest.approx((math.log(0.5), math.log(0.8), math.log(0.4)))
    assert found.mean == pytest.approx(math.log(0.16) / 3)
    assert (found.reference_error, found.arm_error) == pytest.approx((110.0, (50 + 88 + 48) / 3))


def test_every_property_has_its_effect_and_its_rmse(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline")
    write_run(tmp_path, "pan", summary={"test/energy_mae_meV_atom": 5.0, "test/stress_rmse_meV_A3": 2.5})
    found = report_of(tmp_path)
    assert effect(found, "pan", prop="forces").mean == 0.0
    assert effect(found, "pan", prop="energy").mean == pytest.approx(math.log(0.5))
    assert effect(found, "pan", prop="stress").mean == 0.0
    assert effect(found, "pan", prop="stress", statistic="rmse").mean == pytest.approx(math.log(2.5 / 7.5))


def test_a_property_without_labels_has_no_effect(tmp_path: Path) -> None:
    none = {"test/stress_mae_meV_A3": None, "test/stress_rmse_meV_A3": None}
    write_run(tmp_path, "baseline", summary=none)
    write_run(tmp_path, "pan", summary=none)
    assert {item.prop for item in report_of(tmp_path).effects} == {"forces", "energy"}


def test_every_arm_has_controls_panpgs_all_of_them_and_controls_none(tmp_path: Path) -> None:
    arms = ("panpgs", "pgs_edge", "my_own", "linear", "ctrl_mlp", "density", "ctrl_linear")
    for arm in ("baseline", *arms):
        write_run(tmp_path, arm)
    pairs = {(item.arm, item.reference) for item in report_of(tmp_path).effects if item.reference != "baseline"}
    of_its_size = {(arm, "ctrl_mlp") for arm in ("panpgs", "pgs_edge", "my_own")}
    assert pairs == of_its_size | {("panpgs", "density"), ("linear", "ctrl_linear")}


def test_over_data_sets_each_weighs_the_same_whatever_its_seeds(tmp_path: Path) -> None:
    for data, changes in {"si": [-0.1, -0.2, -0.3, -0.4], "ag": [-0.5, -0.7]}.items():
        write_arm(tmp_path, "baseline", [0.0] * len(changes), data=data)
        write_arm(tmp_path, "panpgs", changes, data=data)
    found = effect(report_of(tmp_path), "panpgs", data=ALL_DATA)
    assert found.mean == pytest.approx((-0.25 - 0.6) / 2)
    assert (found.data_sets, len(found.log_ratios), len(found.seeds)) == (2, 6, 2)
    assert found.p_sign_flip == 2 / 2**6


def test_backbones_are_never_pooled(tmp_path: Path) -> None:
    for backbone in ("mace", "nequip"):
        write_run(tmp_path, "baseline", backbone=backbone)
        write_run(tmp_path, "panpgs", backbone=backbone)
    assert all(item.data != ALL_DATA for item in report_of(tmp_path).effects)


def test_p_values_are_adjusted_over_the_data_sets(tmp_path: Path) -> None:
    for data, percent in {"si": -20.0, "ag": -2.0, "lif": -1.0}.items():
        write_arm(tmp_path, "baseline", [0.0] * 5, data=data)
        write_arm(tmp_path, "panpgs", about(percent), data=data)
    found = {data: effect(report_of(tmp_path), "panpgs", data=data) for data in ("si", "ag", "lif")}
    assert found["si"].p_holm == pytest.approx(3 * found["si"].p_t)
    assert found["ag"].p_holm == pytest.approx(2 * found["ag"].p_t)
    assert found["lif"].p_holm == pytest.approx(max(found["lif"].p_t, found["ag"].p_holm))


ERRORS = {  # (frame, group, atoms): force error by arm and seed
    "baseline": ([10.0, 40.0, 25.0, 90.0], [12.0, 44.0, 30.0, 70.0]),
    "panpgs": ([9.0, 30.0, 30.0, 50.0], [8.0, 20.0, 25.0, 72.0]),
}
PLACES = [(4, "a", 2), (5, "a", 8), (6, "b", 5), (7, "c", 1)]


def frames_of(arm: str, seed: int) -> list[dict]:
    errors = ERRORS[arm][seed]
    signs = (1, -1, 1, -1)  # energies are signed errors
    return [
        frame(*place, energy=sign * error / 10, forces=error, stress=error / 5 if place[1] != "c" else "")
        for place, error, sign in zip(PLACES, errors, signs, strict=True)
    ]


def exact_interval(prop: str) -> tuple[float, float]:
    """By brute force over every way to draw three groups and two seeds, all errors recomputed from frames."""
    means = []
    for groups in itertools.product("abc", repeat=3):
        ratios = []
        for seed in (0, 1):
            drawn = {
                arm: totals([row for group in groups for row in frames_of(arm, seed) if row["group"] == group])
                for arm in ERRORS
            }
            known = prop in drawn["panpgs"]
            ratios.append(math.log(drawn["panpgs"][prop] / drawn["baseline"][prop]) if known else math.nan)
        means += [np.mean([ratios[seed] for seed in seeds]) for seeds in itertools.product((0, 1), repeat=2)]
    low, high = np.nanquantile(means, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("prop", ["forces", "energy", "stress"])
def test_the_bootstrap_interval_is_that_of_all_draws_of_seeds_and_groups(tmp_path: Path, prop: str) -> None:
    for arm in ERRORS:
        for seed in (0, 1):
            write_run(tmp_path, arm, seed, frames=frames_of(arm, seed))
    found = effect(report_of(tmp_path, samples=20000), "panpgs", prop=prop)
    assert (found.bootstrap_low, found.bootstrap_high) == pytest.approx(exact_interval(prop), abs=0.01)


def test_data_sets_are_resampled_independently_so_that_two_narrow_the_interval(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    errors = {(arm, seed): generator.lognormal(4.0, 0.4, 30) for arm in ERRORS for seed in range(5)}
    for data in ("si", "ag"):
        for (arm, seed), forces in errors.items():
            rows = [frame(k, str(k), 4, 1.0, float(error), 1.0) for k, error in enumerate(forces)]
            write_run(tmp_path, arm, seed, data=data, frames=rows)
    found = report_of(tmp_path, samples=4000)
    one, both = (effect(found, "panpgs", data=data) for data in ("si", ALL_DATA))
    width = (both.bootstrap_high - both.bootstrap_low) / (one.bootstrap_high - one.bootstrap_low)
    assert width == pytest.approx(math.sqrt(0.5), rel=0.06)


def test_the_bootstrap_is_the_same_every_time_and_another_with_another_seed(tmp_path: Path) -> None:
    for arm in ERRORS:
        for seed in (0, 1):
            write_run(tmp_path, arm, seed, frames=frames_of(arm, seed))
    found = [report_of(tmp_path, samples=37, seed=seed) for seed in (0, 0, 1)]
    lows = [effect(each, "panpgs", prop="energy").bootstrap_low for each in found]
    assert lows[0] == lows[1] != lows[2]


def test_without_test_frames_there_is_no_bootstrap_and_the_report_says_so(tmp_path: Path) -> None:
    for arm in ERRORS:
        for seed in (0, 1):
            write_run(tmp_path, arm, seed, frames=frames_of(arm, seed))
    (tmp_path / "si_mace_panpgs_1/test_frames.csv").unlink()
    found = report_of(tmp_path)
    assert math.isnan(effect(found, "panpgs").bootstrap_low)
    assert "si × mace: no bootstrap interval, 1 of 4 runs lack test_frames.csv." in found.notes


def test_few_test_groups_are_pointed_out(tmp_path: Path) -> None:
    for arm in ERRORS:
        write_run(tmp_path, arm, 0, frames=frames_of(arm, 0))
    assert "si × mace: the test frames form 3 groups, too few for the bootstrap to say much about new structures." in (
        report_of(tmp_path).notes
    )
