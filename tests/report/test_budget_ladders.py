"""Train errors beside test errors, ladders of budgets, and the noise between seeds: on runs of known truth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import about, report_of, write_arm, write_json, write_ladder, write_run

from scalarpath.core.metrics import TEST, TRAIN, VALIDATION
from scalarpath.report.ladder_drawings import error_over_ladder, known_parts
from scalarpath.report.noise import PLANNED_EFFECT, gain, variation
from scalarpath.report.page import page_of
from scalarpath.report.pictures import pictures
from scalarpath.report.power import needed_pairs, power, smallest_effect
from scalarpath.report.preface import preface
from scalarpath.report.table import UNKNOWN
from scalarpath.report.tables import tables

OTHERS = {"train_frames": 0.5, "valid_frames": 0.9}


def table_of(found, start: str):
    (table,) = [table for table in tables(found) if table.title.startswith(start)]
    return table


def test_train_errors_stand_beside_test_errors_with_effects_for_both(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 3, others=OTHERS)
    write_arm(tmp_path, "pan", [math.log(0.8)] * 3, others={"train_frames": 0.25, "valid_frames": 0.9})
    found = report_of(tmp_path)
    plain, pan = (next(item for item in found.parts if item.arm == arm) for arm in ("baseline", "pan"))
    assert plain.prop == pan.prop == "forces"
    assert plain.errors == pytest.approx({TRAIN: 55.0, VALIDATION: 99.0, TEST: 110.0})
    assert (plain.gap, pan.gap) == pytest.approx((2.0, 4.0))
    changes = {part: math.exp(change[0]) for part, change in pan.changes.items()}
    assert changes == pytest.approx({TRAIN: 0.4, VALIDATION: 0.8, TEST: 0.8})
    table = table_of(found, "Force MAE on train")
    row = dict(zip(table.columns, next(row for row in table.rows if row[2] == "pan"), strict=True))
    assert (row["train"], row["validation"], row["test"], row["test / train"]) == ("22", "79.2", "88", "4.00")
    assert row["train: change, %"].startswith("-60.0 [")
    assert "what optimisation leaves" in table.note
    assert "what generalisation costs" in table.note


def test_runs_without_train_errors_report_and_show_them_as_absent_never_as_zero(tmp_path: Path) -> None:
    write_arm(tmp_path / "old", "baseline", [0.0] * 3)
    write_arm(tmp_path / "old", "pan", about(-10)[:3])
    found = report_of(tmp_path)
    assert found.parts == ()
    assert not [table for table in tables(found) if "train, validation" in table.title]
    write_arm(tmp_path / "new", "ctrl_mlp", about(-20)[:3], others=OTHERS)
    found = report_of(tmp_path)
    table = table_of(found, "Force MAE on train")
    by_arm = {row[2]: row for row in table.rows}
    assert by_arm["pan"][3:5] == (UNKNOWN, UNKNOWN)
    assert by_arm["pan"][6] == UNKNOWN
    assert "0" not in (by_arm["pan"][3], by_arm["ctrl_mlp"][7])
    assert by_arm["ctrl_mlp"][7] == UNKNOWN  # baseline has no train errors to compare with
    assert by_arm["ctrl_mlp"][9].startswith("-20.")


def test_the_report_says_where_train_errors_are_of_some_frames_only(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, seed=seed, others=OTHERS, summary={"train_frames/evaluated": 2 if seed else 3})
    assert "Train errors are of 2 of the train frames." in table_of(report_of(tmp_path), "Force MAE on").note


def ladder(folder: Path, arm: str, errors: list[float], **more) -> None:
    """Budgets 3, 6, 12, ... epochs with these force errors, two seeds that differ by 1 %."""
    rungs = {3 * 2**k: (error, 1.01 * error) for k, error in enumerate(errors)}
    write_ladder(folder, arm, rungs, others=OTHERS, **more)


def test_the_report_says_from_which_budget_on_a_doubling_brings_little(tmp_path: Path) -> None:
    ladder(tmp_path, "baseline", [100, 80, 79, 78.5])
    ladder(tmp_path, "pan", [100, 99, 70, 60])  # a doubling that brings little is not the end
    found = report_of(tmp_path)
    said = {item.arm: item for item in found.convergence if item.prop == "forces"}
    assert said["baseline"].since == 24  # steps: 4 per epoch
    assert said["pan"].since is None
    last = said["pan"].last[TEST]
    assert (last.start, last.end, last.seeds) == (48, 96, 2)
    assert math.exp(last.mean) == pytest.approx(60 / 70)
    sentences = " ".join(preface(found))
    assert "si × mace, baseline: from 24 steps on a doubling lowers the force MAE by less than 2 %; " in sentences
    assert "si × mace, pan: not converged. The last doubling, from 48 to 96 steps, still changed" in sentences
    table = table_of(found, "Is it converged?")
    rows = {(row[2], row[3]): row for row in table.rows}
    assert rows["baseline", "force"][4:6] == ("24", "48 to 96")
    assert rows["pan", "energy"][4] == "not reached"
    assert rows["pan", "force"][6].startswith("-14.3 [")  # on train frames


def test_steps_that_do_not_double_are_told_per_doubling_and_an_open_interval_is_said(tmp_path: Path) -> None:
    write_ladder(tmp_path, "baseline", {3: (100, 100), 12: (81, 81.0001)})
    write_ladder(tmp_path / "x", "pan", {3: (100, 100), 12: (99, 97)})
    found = report_of(tmp_path)
    plain, pan = (
        next(i for i in found.convergence if (i.arm, i.prop) == (arm, "forces")) for arm in ("baseline", "pan")
    )
    assert math.exp(plain.last[TEST].mean) == pytest.approx(0.9, abs=1e-4)
    assert pan.since == 12
    sentences = " ".join(preface(found))
    assert "More than 2 % is not excluded." in sentences
    assert "Less than 2 %" not in sentences
    write_ladder(tmp_path / "y", "pgs", {3: (100, 100), 12: (80, 95)})
    (said,) = [sentence for sentence in preface(report_of(tmp_path)) if "pgs" in sentence]
    assert "not converged" in said
    assert said.endswith("2 seeds. Less than 2 % is not excluded.")
    assert list(plain.last) == [TEST]


def test_one_budget_says_that_convergence_is_not_known(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 3, summary={"steps": 12})
    found = report_of(tmp_path)
    assert found.ladders == found.convergence == ()
    assert "si × mace: one budget only, so nobody knows whether" in preface(found)[-1]


def test_ladders_of_frames_and_sizes_keep_apart_what_else_differs(tmp_path: Path) -> None:
    for frames in (2, 3):
        for channels in (32, 64):
            for seed in (0, 1):
                settings = {"data.train_size": frames, "backbone.num_channels": channels}
                path = write_run(
                    tmp_path / f"{frames}{channels}", seed=seed, settings=settings, forces=frames * channels,
                    summary={"steps": frames, "parameters/total": 10 * channels},
                )  # fmt: skip
                write_json(path / "splits.json", {"train": list(range(6, 6 + frames)), "valid": [3], "test": [4, 5]})
    found = {(each.axis.name, each.terms): each for each in report_of(tmp_path).ladders}
    assert set(found) == {
        ("frames", "num_channels 32"), ("frames", "num_channels 64"), ("size", "2 train frames"),
        ("size", "3 train frames"),
    }  # fmt: skip
    rungs = found["size", "3 train frames"].rungs("baseline")
    assert [(place, runs[0].error("forces")) for place, runs in rungs] == [(320, 96), (640, 192)]


def test_the_figure_has_a_panel_per_part_and_a_line_per_head_with_the_range_of_its_seeds(tmp_path: Path) -> None:
    ladder(tmp_path, "baseline", [100, 80, 60])
    ladder(tmp_path, "pan", [90, 70, 50])
    found = report_of(tmp_path)
    (steps,) = found.ladders
    assert known_parts("forces", [steps]) == [TRAIN, VALIDATION, TEST]
    figure = error_over_ladder("forces", [steps], {"baseline": "#000000", "pan": "#ff0000"})
    panels = {axis.get_title(loc="left").splitlines()[-1]: axis for axis in figure.axes}
    assert list(panels) == [TRAIN, VALIDATION, TEST]
    for part, factor in ((TRAIN, 0.5), (VALIDATION, 0.9), (TEST, 1.0)):
        lines = {line.get_color(): line for line in panels[part].lines}
        assert lines["#ff0000"].get_xdata() == pytest.approx([12, 24, 48])
        assert lines["#ff0000"].get_ydata() == pytest.approx([factor * 1.005 * error for error in (90, 70, 50)])
    assert [text.get_text() for text in panels[TEST].get_xticklabels()] == ["12", "24", "48"]
    drawn = {picture.name: picture for picture in pictures(found)}
    assert {name for name in drawn if name.startswith(("budget", "frames", "size"))} == {
        f"budget_{name}" for name in ("forces", "energy", "stress")
    }
    assert drawn["budget_stress"].caption == "The same for the stress MAE."


def test_power_is_that_of_a_simulation_and_of_known_values() -> None:
    # statsmodels: TTestPower().power(0.5, 20, 0.05); G*Power: 44 pairs for an effect size of 0.5 and 90 %
    assert power(0.5, 1.0, 20) == pytest.approx(0.5645044184390203, abs=1e-9)
    assert needed_pairs(0.5, 1.0) == 44
    generator = np.random.default_rng(3)
    for pairs, critical in ((3, 4.302653), (5, 2.776445)):
        effect = smallest_effect(0.06, pairs)
        drawn = effect + 0.06 * generator.standard_normal((40_000, pairs))
        t = drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / math.sqrt(pairs))
        assert np.mean(np.abs(t) > critical) == pytest.approx(0.9, abs=0.006)
    assert power(0.0, 1.0, 7) == pytest.approx(0.05)
    assert math.isnan(smallest_effect(0.1, 1))
    assert needed_pairs(0.1, 5.0) is None
    assert all(power(effect, 1.0, pairs) <= 1.0 for effect in (3, 7, 30) for pairs in (2, 5, 100))


def test_noise_is_told_of_baseline_and_of_pairs_with_what_can_be_seen(tmp_path: Path) -> None:
    shared, own = np.array([-0.3, 0.1, 0.2, 0.0]), np.array([0.04, -0.02, -0.03, 0.01])
    write_arm(tmp_path, "baseline", list(shared - np.log1p(np.arange(4) / 10)))
    write_arm(tmp_path, "pan", list(shared + own - 0.1 - np.log1p(np.arange(4) / 10)))
    found = report_of(tmp_path)
    noise = next(item for item in found.noise if item.prop == "forces")
    assert noise.deviation == pytest.approx(np.std(shared, ddof=1))
    assert noise.pair_deviation == pytest.approx(np.std(own, ddof=1))
    assert noise.smallest == pytest.approx(smallest_effect(np.std(own, ddof=1), 4))
    assert noise.needed == needed_pairs(math.log(0.9), np.std(own, ddof=1)) == 4
    assert PLANNED_EFFECT == 0.1
    assert variation(0.2) == pytest.approx(100 * math.sqrt(math.exp(0.04) - 1))
    assert gain(-math.log(0.9)) == pytest.approx(10)
    assert (
        "si × mace: between seeds the force MAE of baseline varies by 21.9 %, its ratio to a head of the same seed by "
        "3.2 %. With 4 seeds a gain of 7.6 % or more is seen with 90 % power; one of 10 % needs 4 seeds."
    ) in preface(found)
    row = next(row for row in table_of(found, "Noise").rows if row[2] == "force")
    assert row[3:] == ("4", "21.9", "4", "3.2", "7.6", "4")


def test_noise_of_several_heads_is_that_within_each_of_them(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 3)
    write_arm(tmp_path, "pan", [-0.5, -0.5, -0.5 + 0.03])
    write_arm(tmp_path, "pgs", [0.2, 0.2, 0.2])
    write_arm(tmp_path, "pan_edge", [0.9])  # one pair says nothing of noise
    noise = report_of(tmp_path).noise[0]
    assert noise.pairs == 3
    assert noise.pair_deviation == pytest.approx(0.03 / math.sqrt(6))


def test_of_two_seeds_the_noise_is_not_known(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0, 0.1])
    write_arm(tmp_path, "pan", [-0.1, -0.2])
    found = report_of(tmp_path)
    assert (
        "how much the effect of a head varies between seeds is not known (2 of 3 pairs of seeds)." in preface(found)[0]
    )
    row = next(row for row in table_of(found, "Noise").rows if row[2] == "force")
    assert row[3:] == ("2", UNKNOWN, "2", UNKNOWN, UNKNOWN, UNKNOWN)


def test_noise_and_convergence_stand_before_answers_and_verdicts(tmp_path: Path) -> None:
    from scalarpath.report.html import html
    from scalarpath.report.markdown import markdown

    write_arm(tmp_path, "baseline", [0.0] * 3)
    write_arm(tmp_path, "panpgs", about(-10)[:3])
    found = report_of(tmp_path)
    page = page_of(found, [], "report.py", "abc")
    assert list(page.preface) == preface(found)
    for text in (html(page), markdown(page)):
        order = [text.index(words) for words in ("with 90 % power; one of", "has the lowest force MAE", "Claims of")]
        assert order == sorted(order)
        assert text.index("Noise between seeds") < text.index("Claims of")
