"""Verdicts on runs of known truth."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from synthetic_runs import SPREAD, about, frame, report_of, write_arm, write_run

from scalarpath.artifacts.rows import Row
from scalarpath.core.errors import ReportError
from scalarpath.report.effects import ALL_DATA
from scalarpath.report.tables import tables
from scalarpath.report.verdicts import NOT_REPLICATED, REPLICATED, UNDECIDED, Verdict, judge

WIDE = (-0.5, -0.25, 0.0, 0.25, 0.5)


def study(folder: Path, arms: dict[str, list[float]], **more) -> None:
    """Runs of baseline and of arms with given log-ratios to it."""
    write_arm(folder, "baseline", [0.0] * 5, **more)
    for arm, values in arms.items():
        write_arm(folder, arm, values, **more)


def verdict(folder: Path, claim: str = "lower force error", data: str = "si", backbone: str = "mace") -> Verdict:
    found = report_of(folder, samples=500).verdicts
    (one,) = [item for item in found if (item.claim, item.data, item.backbone) == (claim, data, backbone)]
    return one


def test_a_clear_gain_over_baseline_and_control_is_replicated(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-25), "ctrl_mlp": about(-3, SPREAD[::-1])})
    found = verdict(tmp_path)
    assert found.word == REPLICATED
    assert found.found == "-25.0 % [-26.4, -23.5], 5 seeds"
    assert found.published == "-27 to -22 %"
    assert found.reason.startswith("It beats ctrl_mlp (-22.7 %")
    assert found.reason.endswith("Within the published range.")


def test_the_same_gain_by_the_control_is_not_a_replication(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-25), "ctrl_mlp": about(-25, SPREAD[::-1])})
    found = verdict(tmp_path)
    assert found.word == NOT_REPLICATED
    assert "Against ctrl_mlp a gain of 5% or more is excluded (+0.0 %" in found.reason


@pytest.mark.parametrize("percent", [10, 0, -2])
def test_a_loss_no_change_and_a_gain_too_small_to_matter_are_not_a_replication(tmp_path: Path, percent: int) -> None:
    study(tmp_path, {"panpgs": about(percent), "ctrl_mlp": about(30)})
    found = verdict(tmp_path)
    assert found.word == NOT_REPLICATED
    assert found.reason.startswith("A gain of 5% or more is excluded.")


def test_a_mean_gain_whose_interval_reaches_above_zero_is_undecided(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-25, WIDE), "ctrl_mlp": about(50)})
    found = verdict(tmp_path)
    assert found.word == UNDECIDED
    assert "the interval against baseline reaches above zero" in found.reason


def test_without_ctrl_mlp_nothing_is_replicated_even_where_another_control_is_beaten(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-25), "wide_param": about(0)})
    found = verdict(tmp_path)
    assert found.word == UNDECIDED
    assert found.reason.startswith("Because: no ctrl_mlp to tell physics from added parameters.")


@pytest.mark.parametrize("control", ["wide_param", "wide_flop"])
def test_every_wide_control_that_was_run_must_be_beaten(tmp_path: Path, control: str) -> None:
    study(tmp_path, {"panpgs": about(-25), "ctrl_mlp": about(0), control: about(-24)})
    assert verdict(tmp_path).word == NOT_REPLICATED
    study(tmp_path / "open", {"panpgs": about(-25), "ctrl_mlp": about(0), control: about(-10, WIDE)}, data="ag")
    found = verdict(tmp_path / "open", data="ag")
    assert found.word == UNDECIDED
    assert f"the interval against {control} reaches above zero" in found.reason


@pytest.mark.parametrize("diagnostic", ["density", "panpgs_shuffle"])
def test_prior_art_and_the_shuffle_diagnostic_do_not_decide(tmp_path: Path, diagnostic: str) -> None:
    study(tmp_path, {"panpgs": about(-25), "ctrl_mlp": about(0), diagnostic: about(-25)})
    assert verdict(tmp_path).word == REPLICATED


@pytest.mark.parametrize(("percent", "seeds"), [(-25, 4), (10, 3), (-25, 1)])
def test_fewer_than_five_pairs_decide_nothing(tmp_path: Path, percent: int, seeds: int) -> None:
    study(tmp_path, {"panpgs": about(percent)[:seeds], "ctrl_mlp": about(0)})
    found = verdict(tmp_path)
    assert found.word == UNDECIDED
    assert f"{seeds} of 5 seeds against baseline" in found.reason


def test_a_control_with_too_few_seeds_decides_nothing(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-25), "ctrl_mlp": about(0)[:3]})
    assert verdict(tmp_path).reason.startswith("Because: 3 of 5 seeds against ctrl_mlp.")


@pytest.mark.parametrize(
    ("percent", "words"),
    [
        (-60, "Larger than published; the interval excludes the published range."),
        (-27.5, "Larger than published; the interval reaches the published range."),
        (-10, "Smaller than published; the interval excludes the published range."),
    ],
)
def test_a_replicated_effect_is_compared_with_the_published_range(tmp_path: Path, percent: float, words: str) -> None:
    study(tmp_path, {"panpgs": about(percent), "ctrl_mlp": about(0)})
    found = verdict(tmp_path)
    assert found.word == REPLICATED
    assert found.reason.endswith(words)


def test_an_effect_of_the_other_sign_is_called_so(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(8)})
    assert verdict(tmp_path).reason.endswith("Opposite in sign to the published effect.")


def test_a_wide_interval_about_the_published_range_decides_nothing(tmp_path: Path) -> None:
    """Two seeds whose mean happens to lie in the range: the interval holds nearly every effect."""
    write_arm(tmp_path, "baseline", [0.0, 0.0])
    write_arm(tmp_path, "panpgs", [-0.33, -0.22])
    found = verdict(tmp_path)
    assert found.found.startswith("-24.0 % [-62.")
    assert found.word == UNDECIDED
    assert found.reason.endswith("The interval holds zero and the published range: it cannot tell one from the other.")
    write_arm(tmp_path / "one", "baseline", [0.0], data="ag")
    write_arm(tmp_path / "one", "panpgs", [-0.27], data="ag")
    assert verdict(tmp_path / "one", data="ag").reason.endswith("no interval to compare with the published range.")


def test_each_property_is_judged_by_its_own_errors_and_range(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-20), "ctrl_mlp": about(0)})
    assert verdict(tmp_path, "lower energy error").reason.endswith("Within the published range.")
    assert "Smaller than published" in verdict(tmp_path, "lower stress error").reason


def test_the_bootstrap_interval_must_exclude_zero_as_well(tmp_path: Path) -> None:
    # the gain comes from one group of three, which a resample may lack; the other two lose a little
    for seed, shift in enumerate(SPREAD):
        for arm, errors in {"baseline": (300, 50, 50), "panpgs": (100, 55, 55), "ctrl_mlp": (600, 200, 200)}.items():
            scale = math.exp(shift) if arm == "panpgs" else 1.0
            rows = [frame(index, str(index), 4, 1.0, scale * error, 1.0) for index, error in enumerate(errors)]
            write_run(tmp_path, arm, seed, frames=rows)
    found = verdict(tmp_path)
    assert found.found.startswith("-47.5 % [-48.5")
    assert found.word == UNDECIDED
    assert "the bootstrap interval (not the t interval) against baseline reaches above zero" in found.reason


def test_on_another_backbone_the_direction_is_claimed_and_needs_no_control(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-8)}, backbone="nequip")
    found = verdict(tmp_path, backbone="nequip")
    assert (found.word, found.published) == (REPLICATED, "the same direction as on MACE")
    assert found.reason == "No control was run. 5 of 5 pairs gain (sign test p = 0.062)."


def test_on_another_backbone_a_control_that_does_as_well_counts_against(tmp_path: Path) -> None:
    study(tmp_path, {"panpgs": about(-8), "ctrl_mlp": about(-8)}, backbone="allegro")
    assert verdict(tmp_path, backbone="allegro").word == NOT_REPLICATED


def test_over_data_sets_a_consistent_gain_is_replicated(tmp_path: Path) -> None:
    for data, percent in {"si": -30, "ag": -20}.items():
        study(tmp_path, {"panpgs": about(percent), "ctrl_mlp": about(0)}, data=data)
    found = verdict(tmp_path, data=ALL_DATA)
    assert found.word == REPLICATED
    assert "10 pairs on 2 data sets" in found.found


def test_over_data_sets_the_exact_test_must_agree_with_the_interval(tmp_path: Path) -> None:
    for data in ("si", "ag"):
        study(tmp_path, {"panpgs": about(-25)}, data=data)
    pooled = next(item for item in report_of(tmp_path).effects if item.data == ALL_DATA and item.prop == "forces")
    assert judge(pooled, {}, needs_control=False)[0] == REPLICATED
    word, reason = judge(replace(pooled, p_sign_flip=0.06), {}, needs_control=False)
    assert (word, reason) == (UNDECIDED, "Because: the exact sign-flip test against baseline gives p = 0.06.")


def test_a_gain_over_data_sets_names_those_that_do_not_gain_by_themselves(tmp_path: Path) -> None:
    for data, percent in {"si": -30, "ag": -25, "ethanol": 0}.items():
        study(tmp_path, {"panpgs": about(percent), "ctrl_mlp": about(5)}, data=data)
    found = verdict(tmp_path, data=ALL_DATA)
    assert found.word == REPLICATED
    assert found.reason.endswith("Not replicated by itself on ethanol.")
    assert "by itself" not in verdict(tmp_path, data="si").reason


def test_over_data_sets_a_control_must_have_been_run_on_all(tmp_path: Path) -> None:
    for data in ("si", "ag", "lif"):
        arms = {"panpgs": about(-25)} | ({"ctrl_mlp": about(0)} if data != "lif" else {})
        study(tmp_path, arms, data=data)
    found = verdict(tmp_path, data=ALL_DATA)
    assert found.word == UNDECIDED
    assert "ctrl_mlp ran on 2 of 3 data sets" in found.reason


def test_a_gain_that_does_not_survive_holm_says_so(tmp_path: Path) -> None:
    spread = [3.2 * value for value in SPREAD]
    for data, percent in {"si": -7, "ag": -6.8, "lif": 0}.items():
        study(tmp_path, {"panpgs": about(percent, spread), "ctrl_mlp": about(30)}, data=data)
    found = verdict(tmp_path)
    assert found.word == REPLICATED
    assert "After Holm's correction over the data sets p = 0.0" in found.reason


def write_costs(folder: Path, flops: float | None, **overhead: float) -> None:
    counts = [{"flops/inference": 1e6}, {"flops/inference": flops * 1e6}] if flops else [{}, {}]
    write_run(folder, "baseline", summary=counts[0])
    times = {f"overhead/inference_ratio{key}": value for key, value in overhead.items()}
    write_run(folder, "panpgs", summary={**counts[1], **times, "parameters/total": 1030})


def test_the_cost_is_judged_by_operations_and_told_with_times(tmp_path: Path) -> None:
    write_costs(tmp_path / "a", 1.03, **{"": 1.11, "_low": 1.08, "_high": 1.15})
    found = verdict(tmp_path / "a", "few added operations")
    assert (found.word, found.found) == (REPLICATED, "+3.0 %")
    assert found.reason == "Time, which is not claimed: inference +11.0 % [+8.0, +15.0]."
    write_costs(tmp_path / "b", 1.08)
    assert verdict(tmp_path / "b", "few added operations").word == NOT_REPLICATED
    write_costs(tmp_path / "c", None)
    assert verdict(tmp_path / "c", "few added operations").word == UNDECIDED


def test_without_baseline_the_cost_is_not_judged(tmp_path: Path) -> None:
    write_run(tmp_path, "panpgs", summary={"flops/inference": 1.03e6, "overhead/flops_ratio": 1.03})
    assert not report_of(tmp_path).verdicts


def test_operations_of_different_revisions_are_not_compared(tmp_path: Path) -> None:
    """A revision may take half the operations of another for the same numbers."""
    write_run(tmp_path, "baseline", summary={"flops/inference": 2e6}, commit="a" * 40)
    write_run(tmp_path, "panpgs", summary={"flops/inference": 1.03e6}, commit="b" * 40)
    found = verdict(tmp_path, "few added operations")
    assert found.word == UNDECIDED
    assert "not at one revision" in found.reason


def write_slopes(folder: Path, arm: str, slopes: list[float], material: str = "si") -> None:
    """Runs with a measured softening slope and a phonon at the model's own lattice constant, which must not count."""
    for seed, slope in enumerate(slopes):
        path = write_run(folder, arm, seed) / "artifacts"
        path.mkdir()
        row = Row("softening_slope", "softening slope, walls", "", slope, 1.0, slope - 1)
        (path / "repulsion.json").write_text(
            json.dumps({"measure": "repulsion", "material": material, "rows": [asdict(row) | {"low": None}]})
        )


def test_an_artifact_is_judged_by_the_change_of_its_size(tmp_path: Path) -> None:
    claim = "less softened repulsion"
    write_slopes(tmp_path / "a", "baseline", [0.90, 0.91, 0.89, 0.92, 0.88])
    write_slopes(tmp_path / "a", "panpgs", [0.98, 1.01, 0.97, 1.02, 0.99])
    found = verdict(tmp_path / "a", claim)
    assert found.word == REPLICATED
    assert "|slope - 1|: 0.018 with panpgs, 0.1 with baseline." in found.reason
    write_slopes(tmp_path / "b", "baseline", [0.98, 1.01, 0.97, 1.02, 0.99])
    write_slopes(tmp_path / "b", "panpgs", [0.90, 0.91, 0.89, 0.92, 0.88])
    assert verdict(tmp_path / "b", claim).word == NOT_REPLICATED
    write_slopes(tmp_path / "c", "baseline", [0.90, 0.91])
    write_slopes(tmp_path / "c", "panpgs", [0.98, 1.01])
    assert verdict(tmp_path / "c", claim).word == UNDECIDED


def write_rows(folder: Path, arm: str, measure: str, rows: list[Row]) -> None:
    path = write_run(folder, arm) / "artifacts"
    path.mkdir()
    (path / f"{measure}.json").write_text(json.dumps({"measure": measure, "rows": [asdict(row) for row in rows]}))


def test_the_size_of_the_drift_is_its_largest_and_of_phonons_the_mean_without_the_own_lattice(tmp_path: Path) -> None:
    for arm, factor in {"baseline": 2.0, "panpgs": 1.0}.items():
        drift = [Row(f"drift_meV_atom_ps_{name}", "drift", "", factor * value) for name, value in (("a", -4), ("b", 3))]
        write_rows(tmp_path / "nve", arm, "nve", [*drift, Row("fluctuation_exponent_a", "", "", 9.0, 2.0, 7.0)])
        modes = [Row(f"X_{name}_THz", "", "THz", 1.0, 1.0, factor * value) for name, value in (("T", -0.1), ("L", 0.2))]
        own = Row("X_T_own_lattice_THz", "", "THz", 1.0, 1.0, 9.0)
        write_rows(tmp_path / "phonons", arm, "phonons", [*modes, own])
    assert ": 4 with panpgs, 8 with baseline" in verdict(tmp_path / "nve", "less energy drift").reason
    assert ": 0.15 with panpgs, 0.3 with baseline" in verdict(tmp_path / "phonons", "less shifted phonons").reason


def test_the_highest_mode_of_a_molecule_counts_as_a_phonon(tmp_path: Path) -> None:
    for arm, error in {"baseline": -0.04, "panpgs": 0.01}.items():
        highest = Row("highest_mode_THz", "", "THz", 1.0, 1.0, error, relative=True)
        write_rows(tmp_path, arm, "phonons", [highest, Row("imaginary_modes", "", "", 5.0, 0.0, 5.0)])
    assert ": 0.01 with panpgs, 0.04 with baseline" in verdict(tmp_path, "less shifted phonons").reason


def test_an_artifact_is_shown_where_seeds_agree_on_it_and_heads_are_compared_by_its_size(tmp_path: Path) -> None:
    soft, stiff = [0.90, 0.91, 0.89, 0.92, 0.88], [1.01, 1.02, 1.03, 1.01, 1.03]
    write_slopes(tmp_path / "soft", "baseline", soft)
    write_slopes(tmp_path / "soft", "panpgs", stiff)
    write_slopes(tmp_path / "unsure", "baseline", [0.9, 1.1, 0.95, 1.1, 0.98])
    write_slopes(tmp_path / "one", "baseline", [0.90])
    write_slopes(tmp_path / "fewer", "baseline", [0.90, 0.91, math.nan])

    def errors(folder: str) -> list[tuple[str, ...]]:
        found = tables(report_of(tmp_path / folder))
        return next(table for table in found if table.title == "Which artifacts baseline shows, si × mace").rows

    assert errors("soft") == [
        ("repulsion", "softening slope, walls", "-0.1 [-0.12, -0.08]", "yes", "-0.08 [-0.092, -0.068]")
    ]
    assert [row[2:] for row in errors("unsure")] == [("+0.006 [-0.11, +0.12]", "no")]
    assert [row[2:] for row in errors("one")] == [("-0.1", "–")]
    assert [row[2:] for row in errors("fewer")] == [("-0.095 [-0.16, -0.031] (2 of 3)", "yes")]


def test_a_drift_is_an_error_though_the_reference_drifts_too(tmp_path: Path) -> None:
    for seed in (0, 1):
        path = write_run(tmp_path, "baseline", seed) / "artifacts"
        path.mkdir()
        row = Row("drift_meV_atom_ps_300K_float32_4fs", "drift", "meV/atom/ps", 3.0 + 0.1 * seed, 1.0)
        (path / "nve.json").write_text(json.dumps({"measure": "nve", "rows": [asdict(row)]}))
    table = next(table for table in tables(report_of(tmp_path)) if table.title.startswith("Which artifacts"))
    assert [row[2:] for row in table.rows] == [("+3 [+2.4, +3.7]", "yes")]


def test_artifacts_on_two_structures_are_not_compared(tmp_path: Path) -> None:
    write_slopes(tmp_path, "baseline", [0.90, 0.91, 0.89, 0.92, 0.88], "bcc")
    write_slopes(tmp_path, "panpgs", [0.98, 1.01, 0.97, 1.02, 0.99], "hcp")
    found = report_of(tmp_path)
    assert [(line.material, list(line.rows)) for line in found.artifacts] == [
        ("bcc", ["baseline"]),
        ("hcp", ["panpgs"]),
    ]
    table = next(table for table in tables(found) if table.title.startswith("Physical artifacts"))
    assert [row[0] for row in table.rows] == ["repulsion, bcc", "repulsion, hcp"]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", "\udcff", '{"measure": 1, "rows": 3}', '{"rows": [{"key": "a"}], "measure": "b"}',
     '{"measure": "repulsion", "rows": [{"key": "a", "quantity": "a", "unit": "", "model": "high"}]}',
     '{"measure": "repulsion", "rows": [], "results": {"model": {}}}'],
)  # fmt: skip
def test_a_damaged_file_of_an_artifact_is_one_sentence(tmp_path: Path, text: str) -> None:
    write_slopes(tmp_path, "baseline", [0.9])
    write_slopes(tmp_path, "panpgs", [0.98])
    damaged = next(tmp_path.rglob("repulsion.json"))
    damaged.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReportError, match=r"repulsion\.json is damaged .*measure it again with evaluate\.py"):
        verdict(tmp_path, "less softened repulsion")
