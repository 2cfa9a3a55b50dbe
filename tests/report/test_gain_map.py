"""The gain map: effects over everything in which runs differ, one thing at a time, on runs of known truth."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_runs import about, report_of, write_arm, write_json, write_ladder

from scalarpath.report.aggregate import Aggregate
from scalarpath.report.effects import percent
from scalarpath.report.gain_drawings import PALE, gain_map
from scalarpath.report.pictures import pictures
from scalarpath.report.tables import tables

COLOURS = {"baseline": "#000000", "pan": "#ff0000", "pgs": "#00ff00"}


def pair_of_arms(folder: Path, change: float, **more) -> None:
    """Baseline and pan with an effect of so many percent on every quantity, three seeds."""
    write_arm(folder, "baseline", [0.0] * 3, **more)
    write_arm(folder, "pan", about(change, (-0.01, 0.0, 0.01)), **more)


def network(folder: Path, change: float, parameters: int = 1000, **settings) -> None:
    pair_of_arms(
        folder, change, settings={f"backbone.{key}": value for key, value in settings.items()},
        summary={"steps": 12, "parameters/total": parameters},
    )  # fmt: skip


def gains(found: Aggregate) -> dict[tuple[str, str, str], dict]:
    """Change of the force MAE in whole percent by place, for every line."""
    return {
        (line.axis, line.name, line.arm): {
            place: round(percent(effects["forces"].mean)) for place, effects in line.points
        }
        for line in found.gains
    }


def test_runs_that_differ_in_head_and_seed_alone_have_no_gain_map(tmp_path: Path) -> None:
    pair_of_arms(tmp_path, -10)
    found = report_of(tmp_path)
    assert found.gains == ()
    assert "gain_map" not in {picture.name for picture in pictures(found)}


def test_effects_over_the_budget_stand_at_its_steps_for_every_head(tmp_path: Path) -> None:
    write_ladder(tmp_path, "baseline", {3: (100, 100), 6: (80, 80)})
    write_ladder(tmp_path, "pan", {3: (90, 90), 6: (80, 80)})
    write_ladder(tmp_path, "pgs", {3: (90, 90)})  # one place is no line
    assert gains(report_of(tmp_path)) == {("budget", "si × mace", "pan"): {12: -10, 24: 0}}


def test_each_setting_of_the_backbone_is_an_axis_and_the_others_are_equal_on_it(tmp_path: Path) -> None:
    for channels, correlation, change in ((32, 2, -30), (64, 2, -20), (32, 3, -10)):
        network(tmp_path / f"{channels}{correlation}", change, num_channels=channels, correlation=correlation)
    pair_of_arms(tmp_path, -5, backbone="nequip")  # has neither
    found = {line: points for line, points in gains(report_of(tmp_path)).items() if line[0] != "backbone"}
    assert found == {
        ("num_channels", "si × mace, correlation 2", "pan"): {32: -30, 64: -20},
        ("correlation", "si × mace, num_channels 32", "pan"): {2: -30, 3: -10},
    }


def test_networks_that_differ_in_several_settings_stand_at_their_parameters(tmp_path: Path) -> None:
    network(tmp_path / "small", -30, 1000, num_channels=32, radial_mlp=[64])
    network(tmp_path / "large", -20, 4000, num_channels=64, radial_mlp=[64, 64])
    assert gains(report_of(tmp_path)) == {("size", "si × mace", "pan"): {1000: -30, 4000: -20}}


def test_train_frames_are_an_axis_of_their_own(tmp_path: Path) -> None:
    for frames, change in ((2, -30), (4, -10)):
        folder = tmp_path / str(frames)
        pair_of_arms(folder, change, settings={"data.train_size": frames})
        for path in folder.iterdir():
            write_json(path / "splits.json", {"train": list(range(6, 6 + frames)), "valid": [3], "test": [4, 5]})
    assert gains(report_of(tmp_path)) == {("frames", "si × mace", "pan"): {2: -30, 4: -10}}


def test_materials_and_backbones_are_categories_where_all_else_is_equal(tmp_path: Path) -> None:
    pair_of_arms(tmp_path, -30)
    pair_of_arms(tmp_path, -20, data="ag")
    pair_of_arms(tmp_path, -10, backbone="nequip")
    pair_of_arms(tmp_path, -5, data="lif", settings={"optimizer.lr": 0.5})  # another training: not comparable
    assert gains(report_of(tmp_path)) == {
        ("backbone", "si", "pan"): {"mace": -30, "nequip": -10},
        ("data", "mace", "pan"): {"ag": -20, "si": -30},
    }


def test_a_cutoff_parts_backbones_and_is_an_axis(tmp_path: Path) -> None:
    pair_of_arms(tmp_path, -30)
    pair_of_arms(tmp_path / "6", -20, settings={"backbone.cutoff": 6.0})
    pair_of_arms(tmp_path, -10, backbone="nequip")
    assert gains(report_of(tmp_path)) == {
        ("cutoff", "si × mace", "pan"): {5.0: -30, 6.0: -20},
        ("backbone", "si, cutoff 5.0", "pan"): {"mace, cutoff 5.0": -30, "nequip": -10},
    }


@pytest.fixture
def two_axes(tmp_path: Path) -> Aggregate:
    pair_of_arms(tmp_path, -30)
    write_arm(tmp_path / "6", "baseline", [0.0] * 3, settings={"backbone.cutoff": 6.0})
    write_arm(tmp_path / "6", "pan", [-0.3, 0.0, 0.2], settings={"backbone.cutoff": 6.0})  # undecided
    pair_of_arms(tmp_path, -20, data="ag")
    return report_of(tmp_path)


def test_the_figure_has_a_row_per_quantity_a_panel_per_axis_and_pale_points_where_undecided(two_axes) -> None:
    figure = gain_map(two_axes.gains, COLOURS)
    assert [axis.get_xlabel() for axis in figure.axes if axis.get_xlabel()] == ["cutoff (Å)", "data set"]
    assert [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()] == ["forces", "energy", "stress"]
    cutoffs, materials = figure.axes[0], figure.axes[-1]
    dots = {line.get_xdata()[0]: line for line in cutoffs.lines if line.get_linestyle() == "None"}
    assert {x: line.get_alpha() for x, line in dots.items()} == {5.0: 1.0, 6.0: PALE}
    assert dots[5.0].get_ydata()[0] == pytest.approx(-30, abs=0.1)
    effect = next(e for e in two_axes.effects if (e.data, e.terms, e.prop) == ("si", "cutoff 5.0", "forces"))
    (bar,) = [line for line in cutoffs.lines if list(line.get_xdata()) == [5.0, 5.0]]
    assert bar.get_ydata() == pytest.approx([percent(effect.low), percent(effect.high)])
    assert cutoffs.get_xlim()[0] < 5.0 < 6.0 < cutoffs.get_xlim()[1]
    assert cutoffs.get_ylim()[0] < -30
    assert [text.get_text() for text in materials.get_xticklabels()] == ["ag", "si"]
    assert {line.name for line in two_axes.gains} == {"si × mace", "mace, cutoff 5.0"}


def test_figure_and_table_are_in_the_report(two_axes) -> None:
    (picture,) = [picture for picture in pictures(two_axes) if picture.name == "gain_map"]
    assert picture.caption.startswith("Where a head pays: change of the test MAE against baseline")
    assert 'style="min-width:' in picture.inline()
    (table,) = [table for table in tables(two_axes) if table.title == "Where a head pays"]
    rows = {row[:4]: row[4:] for row in table.rows}
    forces, _, _, pairs = rows["cutoff (Å)", "5", "si × mace", "pan"]
    assert forces.startswith("-30.0 [")
    assert pairs == "3"
