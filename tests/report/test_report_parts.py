"""By whose errors a report compares: test, or in development validation and train, with no test error anywhere."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import pytest
from synthetic_runs import about, report_of, write_arm, write_json, write_ladder

from scalarpath.core.errors import ConfigError, ReportError
from scalarpath.core.metrics import TEST, TRAIN, VALIDATION
from scalarpath.report.command import write_report
from scalarpath.report.preface import preface
from scalarpath.report.settings import BootstrapSettings, DashboardSettings, ReportSettings

CLOSED = {"evaluate_test": False}
FACTORS = {"train_frames": 0.5, "valid_frames": 0.9}
TEST_ERROR = "777"
"""In every test error that must not be seen: errors of these runs begin so."""


def close(folder: Path) -> None:
    """Take the test errors out of all summaries."""
    for file in folder.rglob("summary.json"):
        summary = json.loads(file.read_text())
        write_json(file, {key: value for key, value in summary.items() if not key.startswith("test/")})


def settings_of(folder: Path, part: str | None = None, claims: str | None = None) -> ReportSettings:
    bootstrap, dashboard = BootstrapSettings(100, 0), DashboardSettings("", None)
    return ReportSettings([str(folder)], {}, part, claims, bootstrap, False, dashboard, str(folder / "report"))


def test_runs_with_a_closed_test_part_are_compared_by_validation_errors(tmp_path: Path) -> None:
    for arm, ratios in (("baseline", [0.0] * 3), ("pan", about(-20)[:3])):
        write_arm(tmp_path, arm, ratios, others=FACTORS, settings=CLOSED)
    close(tmp_path)
    found = report_of(tmp_path, claims=None)
    assert found.part == VALIDATION
    effect = next(effect for effect in found.effects if (effect.prop, effect.statistic) == ("forces", "mae"))
    assert effect.part == VALIDATION
    assert effect.log_ratios == pytest.approx(about(-20)[:3])
    assert effect.reference_error == pytest.approx(0.9 * 110)
    assert found.answers[0].headline.startswith("pan has the lowest validation force MAE; against baseline: -20.")
    assert found.noise[0].part == VALIDATION
    assert set(found.parts[0].errors) == {TRAIN, VALIDATION}


def test_one_closed_run_among_open_ones_is_enough_for_development(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 3, others=FACTORS)
    write_arm(tmp_path / "closed", "pan", about(-20)[:3], others=FACTORS, settings=CLOSED)
    assert report_of(tmp_path, claims=None).part == TEST  # opened by evaluate.py
    close(tmp_path / "closed")
    found = report_of(tmp_path, claims=None)
    assert found.part == VALIDATION
    assert "The test part of 3 of 6 runs is closed." in preface(found)[0]


@pytest.mark.parametrize(("part", "factor", "change"), [("train", 0.5, -60), ("validation", 0.9, -20)])
def test_any_runs_are_compared_by_the_part_that_is_asked_for(
    tmp_path: Path, part: str, factor: float, change: float
) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 3, others=FACTORS)
    write_arm(tmp_path, "pan", [math.log(0.8)] * 3, others={"train_frames": 0.25, "valid_frames": 0.9})
    found = report_of(tmp_path, part=part, claims=None)
    effect = next(effect for effect in found.effects if effect.prop == "energy")
    assert math.exp(effect.mean) == pytest.approx(1 + change / 100)
    assert effect.reference_error == pytest.approx(11 * factor)
    assert preface(found)[0].startswith(f"Development, not a claim: all comparisons are by {part} errors; ")


def test_a_ladder_says_convergence_by_the_part_that_is_compared(tmp_path: Path) -> None:
    write_ladder(tmp_path, "baseline", {3: (100, 101), 6: (99, 100)}, others=FACTORS)
    write_ladder(tmp_path, "pan", {3: (100, 101), 6: (50, 51)}, others=FACTORS)
    found = report_of(tmp_path, part="train", claims=None)
    said = {item.arm: item for item in found.convergence if item.prop == "forces"}
    assert (said["baseline"].since, said["pan"].since) == (12, None)
    assert set(said["pan"].last) == {TRAIN, VALIDATION}
    assert (
        "si × mace, pan: not converged. The last doubling, from 12 to 24 steps, still changed the train force MAE"
        in (" ".join(preface(found)))
    )


def test_the_pages_of_development_say_so_in_their_heading_and_hold_no_test_error(tmp_path: Path, capsys) -> None:
    write_ladder(tmp_path, "baseline", {3: (777.1, 777.2, 777.3), 6: (777.4, 777.5, 777.6)}, others=FACTORS)
    write_ladder(tmp_path, "pan", {3: (777.7, 777.8, 777.9), 6: (777.15, 777.25, 777.35)}, others=FACTORS)
    write_report(settings_of(tmp_path, part="validation"))
    folder = tmp_path / "report"
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert text.startswith("# Development, no claim: heads by validation errors\n")
    assert "<h1>Development, no claim: heads by validation errors</h1>" in page
    shown = capsys.readouterr().out
    assert shown.startswith("note: Development, not a claim")
    assert "Change of the validation MAE" in shown
    for content in (text, shown, (folder / "runs.csv").read_text(), (folder / "effects.csv").read_text()):
        assert not re.search(rf"\b{TEST_ERROR}\.?\d", content)
    with (folder / "runs.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    assert not [name for name in columns if name.startswith(("test/", "trivial/"))]
    assert "valid_frames/forces_mae_meV_A" in columns
    figure = (folder / "budget_forces.svg").read_text()  # matplotlib writes texts, or their outlines with a comment
    assert re.search(r"\bvalidation\b", figure)
    assert not re.search(r"\btest\b", figure)


def test_a_report_on_test_errors_needs_every_test_part_open(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 3, others=FACTORS, settings=CLOSED)
    close(tmp_path)
    for part, claims in (("test", None), (None, "published")):
        with pytest.raises(ReportError, match=r"the test part of this run is closed .* evaluate\.py run="):
            report_of(tmp_path, part=part, claims=claims)
    with pytest.raises(ConfigError, match="claims are judged by test errors; leave part=train out"):
        settings_of(tmp_path, part="train", claims="published")


def test_a_part_whose_errors_no_run_tells_is_refused(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 3)
    with pytest.raises(ReportError, match="part=train: no run tells its errors on train frames"):
        report_of(tmp_path, part="train", claims=None)
