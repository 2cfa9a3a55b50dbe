"""The gain grid: changes of the force error by head, network and data set, on runs of known truth."""

from __future__ import annotations

from pathlib import Path

from synthetic_runs import about, measured, report_of, write_arm, write_json

from scalarpath.report.aggregate import Aggregate
from scalarpath.report.gain_grid import Square, gain_grid, squares
from scalarpath.report.pictures import pictures


def pair_of_arms(folder: Path, change: float, arm: str = "pan", spread: float = 0.01, **more) -> None:
    write_arm(folder, "baseline", [0.0] * 3, **more)
    write_arm(folder, arm, about(change, (-spread, 0.0, spread)), **more)


def grid(found: Aggregate) -> list[Square]:
    return squares(found.cells, found.effects, found.other_frames)


def changes(found: Aggregate) -> dict[tuple[str, str, str], int]:
    return {(square.network, square.data, square.frames): round(square.change) for square in grid(found)}


def test_runs_of_one_network_have_no_grid(tmp_path: Path) -> None:
    pair_of_arms(tmp_path, -10)
    pair_of_arms(tmp_path, -20, data="ag")
    assert "gain_grid" not in {picture.name for picture in pictures(report_of(tmp_path))}


def test_a_square_has_the_change_of_the_force_error_and_whether_it_is_decided(tmp_path: Path) -> None:
    pair_of_arms(tmp_path, -10)
    pair_of_arms(tmp_path, -20, data="ag", spread=0.5)
    pair_of_arms(tmp_path, -30, backbone="nequip")
    found = report_of(tmp_path)
    assert changes(found) == {("mace", "ag", "test"): -20, ("mace", "si", "test"): -10, ("nequip", "si", "test"): -30}
    assert [square.decided for square in grid(found)] == [False, True, True]
    assert "gain_grid" in {picture.name for picture in pictures(found)}


def test_frames_of_other_files_stand_beside_the_test_frames(tmp_path: Path) -> None:
    pair_of_arms(tmp_path, -10)
    for seed in range(3):
        for arm, error in (("baseline", 10.0 + seed), ("pan", 5.0 + seed / 2)):
            measured(tmp_path / f"si_mace_{arm}_{seed}", error, file="unseen.extxyz")
    found = report_of(tmp_path)
    assert changes(found) == {("mace", "si", "test"): -10, ("mace", "si", "unseen"): -50}


def test_rows_go_from_few_frames_and_short_trainings_to_many_and_long_ones(tmp_path: Path) -> None:
    for frames, epochs in ((None, 6), (2, 3), (None, 3)):
        folder = tmp_path / f"{frames}_{epochs}"
        summary = {"epochs": epochs}
        pair_of_arms(folder, -10, summary=summary, settings={"data.train_size": frames, "trainer.max_epochs": epochs})
        if frames is not None:
            for path in folder.iterdir():
                write_json(path / "splits.json", {"train": [6, 7], "valid": [3], "test": [4, 5]})
    names = list(dict.fromkeys(square.network for square in grid(report_of(tmp_path))))
    assert names == ["mace, 3 epochs, 2 train frames", "mace, 3 epochs", "mace, 6 epochs"]


def test_the_network_of_most_runs_has_no_settings_in_its_name_and_others_have_those_that_differ(tmp_path: Path) -> None:
    for width, order, data in ((1, 3, "si"), (1, 3, "ag"), (2, 3, "si"), (1, 2, "si")):
        settings = {"backbone.num_channels": width, "backbone.correlation": order}
        pair_of_arms(tmp_path / f"{width}{order}", -10, data=data, settings=settings)
    names = list(dict.fromkeys(square.network for square in grid(report_of(tmp_path))))
    assert names == ["mace", "mace, correlation 2", "mace, num_channels 2"]


def test_a_network_of_many_settings_is_named_by_the_parameters_of_its_smallest_run(tmp_path: Path) -> None:
    for width, parameters in ((1, 14_512), (2, 62_480)):
        settings = {f"backbone.{name}": width for name in ("a", "b", "c")}
        for data, more in (("si", 0), ("lif", 500)):
            summary = {"parameters/total": parameters + more}
            pair_of_arms(tmp_path / str(width), -10, data=data, settings=settings, summary=summary)
    pair_of_arms(tmp_path / "1", -10, data="ag", settings={f"backbone.{name}": 1 for name in ("a", "b", "c")})
    names = {square.network for square in grid(report_of(tmp_path))}
    assert names == {"mace", "mace, 62.5k parameters"}


def test_the_figure_has_a_panel_per_head_and_bold_numbers_where_decided(tmp_path: Path) -> None:
    pair_of_arms(tmp_path, -10)
    pair_of_arms(tmp_path, -20, data="ag", spread=0.5)
    pair_of_arms(tmp_path, -30, backbone="nequip")
    write_arm(tmp_path, "pgs", about(5, (-0.01, 0.0, 0.01)))
    figure = gain_grid(grid(report_of(tmp_path)))
    panels = {axis.get_title(): axis for axis in figure.axes}
    assert set(panels) == {"pan", "pgs"}
    shown = {(text.get_text(), text.get_fontweight()) for text in panels["pan"].texts}
    assert shown == {("−20", "normal"), ("−10", "bold"), ("−30", "bold")}
    assert [label.get_text() for label in panels["pan"].get_xticklabels()] == ["ag test", "si test"]
    assert [label.get_text() for label in panels["pgs"].get_xticklabels()] == ["si test"]
