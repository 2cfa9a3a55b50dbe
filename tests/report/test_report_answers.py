"""Which head is best: on runs of known truth."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from synthetic_runs import SPREAD, about, report_of, write_arm, write_run

from scalarpath.report.answers import BETTER, NO_HEAD, UNDECIDED, Answer
from scalarpath.report.cells import BASELINE
from scalarpath.report.costs import costs_of
from scalarpath.report.drawings import MOST_PERCENT, cost_and_gain, forest, seed_dots
from scalarpath.report.effects import ALL_DATA, percent
from scalarpath.report.tables import rank_table

WIDE = (-0.5, -0.25, 0.0, 0.25, 0.5)


def study(folder: Path, arms: dict[str, list[float]], **more) -> Path:
    write_arm(folder, "baseline", [0.0] * 5, **more)
    for arm, values in arms.items():
        write_arm(folder, arm, values, **more)
    return folder


def answer(folder: Path, data: str = "si") -> Answer:
    (found,) = [item for item in report_of(folder).answers if item.data == data]
    return found


def test_the_best_head_is_named_with_its_gain_and_arms_are_in_the_order_of_their_effects(tmp_path: Path) -> None:
    arms = {"pgs": about(-10), "mine": about(-30, SPREAD[::-1]), "panpgs": about(4)}
    found = answer(study(tmp_path, arms))
    assert [rank.arm for rank in found.ranks] == ["mine", "pgs", "baseline", "panpgs"]
    assert found.word == BETTER
    assert found.headline == "mine has the lowest force MAE; against baseline: -30.0 % [-31.4, -28.6], 5 seeds."
    assert found.reasons[:2] == (
        "Sure against baseline: every 95 % interval lies below zero, with 5 seeds.",
        "Sure against every other head that was run, each with its own 95 % interval.",
    )
    assert list(report_of(tmp_path).cells[0].arms) == ["mine", "pgs", "baseline", "panpgs"]


def test_heads_that_cannot_be_told_apart_are_named(tmp_path: Path) -> None:
    found = answer(study(tmp_path, {"mine": about(-30), "pgs": about(-28, SPREAD[::-1]), "pan": about(-5)}))
    assert found.word == BETTER
    assert found.reasons[1].startswith("Not told apart from pgs (-2.8 % [")
    assert "pan (" not in found.reasons[1]


def test_few_seeds_and_wide_intervals_are_undecided(tmp_path: Path) -> None:
    write_arm(tmp_path / "few", "baseline", [0.0] * 3)
    write_arm(tmp_path / "few", "pan", about(-30)[:3])
    found = answer(tmp_path / "few")
    assert found.word == UNDECIDED
    assert found.reasons[0] == "Not sure that it is better than baseline: 3 of 5 seeds."
    found = answer(study(tmp_path / "wide", {"pan": about(-30, WIDE)}))
    assert found.word == UNDECIDED
    assert found.reasons[0].endswith("the interval reaches above zero.")


def test_where_baseline_is_best_no_head_is(tmp_path: Path) -> None:
    found = answer(study(tmp_path, {"pan": about(10), "pgs": about(20)}))
    assert (found.word, found.ranks[0].arm) == (NO_HEAD, BASELINE)
    assert found.headline.startswith("No head has a lower force MAE than baseline; next is pan: +10.0 % [")
    found = answer(study(tmp_path / "open", {"pan": about(10, WIDE)}, data="ag"), "ag")
    assert found.word == UNDECIDED


def test_without_baseline_nothing_is_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "one", "panpgs")
    assert answer(tmp_path / "one").headline == "Only panpgs was run."
    write_run(tmp_path / "one", "pan")
    found = answer(tmp_path / "one")
    assert (found.word, found.headline, found.ranks) == (UNDECIDED, "Heads were run without baseline.", ())


def test_over_data_sets_there_is_an_answer_before_those_of_each(tmp_path: Path) -> None:
    for data in ("si", "ag"):
        study(tmp_path, {"pan": about(-30), "pgs": about(-5, SPREAD[::-1])}, data=data)
    found = report_of(tmp_path).answers
    assert [item.data for item in found] == [ALL_DATA, "ag", "si"]
    assert found[0].headline.startswith("pan has the lowest force MAE; against baseline: -30.0 % [")
    assert found[0].reasons[1].startswith("Sure against every other head")


def test_the_cost_stands_in_the_answer_and_baseline_shows_its_error(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", summary={"flops/inference": 1e6})
    times = {"overhead/train_ratio": 1.15, "overhead/train_ratio_low": 1.1, "overhead/train_ratio_high": 1.2}
    write_run(tmp_path, "pan", forces=80.0, summary={"flops/inference": 1.015e6, "parameters/total": 1030, **times})
    found = answer(tmp_path)
    costs = "training step +15.0 % [+10.0, +20.0], operations +1.5 %, parameters +3.0 %"
    assert found.reasons[-1] == f"It costs, against baseline: {costs}."
    table = rank_table(found)
    assert table.columns[:2] == ("head", "force MAE, %")
    assert table.rows[0][:2] == ("pan", "-20.0")
    assert table.rows[1][:2] == ("baseline", "100 meV/Å")
    assert "inference, %" not in table.columns  # measured nowhere


def test_intervals_beyond_the_axis_are_marked_and_the_cost_panels_hold_baseline(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0, 0.0])
    write_arm(tmp_path, "pan", [-0.7, 0.4])
    found = report_of(tmp_path)
    (effect,) = [item for item in found.effects if (item.prop, item.statistic) == ("forces", "mae")]
    assert percent(effect.high) > MOST_PERCENT
    colours = {"baseline": "black", "pan": "blue"}
    (axis,) = forest("forces", [effect], colours, band=False).axes
    assert [line.get_xdata()[0] for line in axis.lines if line.get_marker() == ">"] == [MOST_PERCENT]
    assert axis.get_xlim()[1] == MOST_PERCENT
    cost = costs_of(found.cells[0])[0]
    for axis in cost_and_gain([(effect, cost)], colours).axes:
        low, high = axis.get_xlim()
        assert low < 0 < high
        assert any(list(line.get_xydata()[0]) == [0.0, 0.0] and line.get_marker() == "o" for line in axis.lines)


def test_seeds_are_dots_that_no_line_joins(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0, 0.0])
    write_arm(tmp_path, "pan", [-0.7, 0.4])
    (axis,) = seed_dots("forces", report_of(tmp_path).cells, {"baseline": "black", "pan": "blue"}).axes
    rows = [text.get_text() for text in axis.get_yticklabels()]
    assert rows == ["pan", "baseline"]
    assert [len(dots.get_offsets()) for dots in axis.collections] == [2, 2]
    for line, mean in zip(axis.lines, (0.5 * (100 * math.exp(-0.7) + 110 * math.exp(0.4)), 105.0), strict=True):
        assert list(line.get_xdata()) == pytest.approx([mean, mean])  # the mean of one arm
