"""Errors by element and config_type: where a head helps, paired over seeds, of the part that is compared."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import report_of, write_json, write_run

from scalarpath.core.errors import ReportError
from scalarpath.report.breakdown import Breakdown
from scalarpath.report.command import write_report
from scalarpath.report.settings import BootstrapSettings, DashboardSettings, ReportSettings
from scalarpath.report.table import Table
from scalarpath.report.tables import tables

UNITS = {"forces": "meV_A", "energy": "meV_atom"}
RATIOS = {"Cu": (0.5, 0.6, 0.7), "Au": (1.1, 1.2, 1.3), "bulk": (0.8, 0.8, 0.8), "slab": (2.0, 1.0, 0.5)}
"""Errors of linear over those of baseline by group and seed."""


def metrics(error: float, labels: int, *quantities: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in quantities:
        found |= {f"{name}_mae_{UNITS[name]}": error, f"{name}_rmse_{UNITS[name]}": 1.5 * error}
        found[f"{name}_labels"] = labels
    return found


def write_errors(path: Path, errors: dict[str, float], part: str = "test") -> None:
    """Add errors.json with two elements and two kinds of frames on one part, all else on others being 777."""
    content: dict[str, Any] = {}
    for each in ("train_frames", "valid_frames", "test"):
        own = errors if each == part else dict.fromkeys(errors, 777.0)
        content[each] = {
            "all": metrics(5.0, 40, "forces", "energy"),
            "element": {name: metrics(own[name], 20, "forces") for name in ("Cu", "Au")},
            "config_type": {name: metrics(own[name], 10, "energy", "forces") for name in ("bulk", "slab")},
        }
    write_json(path / "errors.json", content)


def write_arms(folder: Path, part: str = "test", seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    others = {"train_frames": 1.0, "valid_frames": 1.0}
    for seed in seeds:
        plain = dict.fromkeys(RATIOS, 10.0 + seed)
        write_errors(write_run(folder, seed=seed, others=others), plain, part)
        of_head = {name: value * RATIOS[name][seed] for name, value in plain.items()}
        write_errors(write_run(folder, "linear", seed, others=others), of_head, part)


def of_group(folder: Path, group: str, prop: str = "forces", **more: Any) -> Breakdown:
    found = report_of(folder, claims=None, **more).breakdown
    (item,) = [item for item in found if (item.group, item.prop, item.statistic) == (group, prop, "mae")]
    return item


def breakdown_of(folder: Path) -> list[Table]:
    return [table for table in tables(report_of(folder, claims=None)) if "by element" in table.title]


def test_the_change_of_a_group_is_paired_over_seeds_with_its_t_interval(tmp_path: Path) -> None:
    write_arms(tmp_path)
    item = of_group(tmp_path, "Cu")
    assert item.errors["linear"] == pytest.approx({0: 5.0, 1: 6.6, 2: 8.4})
    logs = [math.log(ratio) for ratio in RATIOS["Cu"]]
    mean = sum(logs) / 3
    half = 4.302653 * math.sqrt(sum((value - mean) ** 2 for value in logs) / 2 / 3)  # of Student's t, two degrees
    assert item.changes["linear"] == pytest.approx((mean, mean - half, mean + half))
    assert math.isnan(item.changes["baseline"][0])
    assert of_group(tmp_path, "bulk", "energy").changes["linear"] == pytest.approx([math.log(0.8)] * 3)


@pytest.mark.parametrize(
    ("part", "prefix"), [("train", "train_frames"), ("validation", "valid_frames"), (None, "test")]
)
def test_errors_are_those_of_the_part_that_is_compared(tmp_path: Path, part: str | None, prefix: str) -> None:
    write_arms(tmp_path, prefix)
    assert of_group(tmp_path, "Au", part=part).errors["baseline"] == {0: 10.0, 1: 11.0, 2: 12.0}


def test_the_table_of_a_cell_has_heads_as_columns_and_forces_before_energies(tmp_path: Path) -> None:
    write_arms(tmp_path)
    (table,) = breakdown_of(tmp_path)
    assert table.title == "Errors by element and config_type, si × mace"
    assert table.columns == ("of", "MAE of", "labels", "baseline", "linear", "linear: change, %")
    assert [row[:2] for row in table.rows] == [
        ("Au", "force, meV/Å"), ("Cu", "force, meV/Å"), ("bulk", "force, meV/Å"), ("slab", "force, meV/Å"),
        ("bulk", "energy, meV/atom"), ("slab", "energy, meV/atom"),
    ]  # fmt: skip
    assert table.rows[2][2:] == ("10", "11 ± 1", "8.8 ± 0.8", "-20.0 [-20.0, -20.0]")


def test_a_group_that_is_alone_of_its_kind_is_all_and_needs_no_row(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    groups = {"all": {}, "element": {"Si": metrics(3.0, 9, "forces")}, "config_type": {"md": metrics(3.0, 9, "energy")}}
    write_json(path / "errors.json", {"test": groups})
    assert not breakdown_of(tmp_path)


def test_of_very_many_groups_the_table_has_those_with_most_labels(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    kinds = {f"kind {number:02}": metrics(3.0, number, "forces") for number in range(1, 31)}
    write_json(path / "errors.json", {"test": {"all": {}, "element": {}, "config_type": kinds}})
    (table,) = breakdown_of(tmp_path)
    assert [row[0] for row in table.rows] == [f"kind {number}" for number in range(11, 31)]
    assert "10 more rows are in groups.csv" in table.note


def test_runs_of_older_versions_are_left_out_and_one_sentence_says_so(tmp_path: Path) -> None:
    write_arms(tmp_path)
    for file in tmp_path.glob("*linear_0/errors.json"):
        file.unlink()
    found = report_of(tmp_path, claims=None)
    said = [note for note in found.notes if "errors.json" in note]
    assert said == [
        "1 of 6 runs do not tell errors on test frames by element and config_type (errors.json), as those of older "
        "versions, and are left out of these tables."
    ]
    item = of_group(tmp_path, "bulk")
    assert {arm: list(errors) for arm, errors in item.errors.items()} == {"baseline": [0, 1, 2], "linear": [1, 2]}
    (table,) = breakdown_of(tmp_path)
    assert table.rows[2][4] == "9.2 ± 0.57 (2)"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_arms(tmp_path)
    (path,) = tmp_path.glob("*linear_0/errors.json")
    for text in ("{", '{"test": []}', '{"test": {"element": {"Cu": 3}}}', '{"test": {"element": {"Cu": {"a": "b"}}}}'):
        path.write_text(text)
        with pytest.raises(ReportError, match=r"linear_0/errors\.json is damaged"):
            report_of(tmp_path, claims=None)


def test_all_numbers_are_in_a_file_and_development_shows_none_of_test(tmp_path: Path) -> None:
    write_arms(tmp_path, "valid_frames")
    folder = tmp_path / "report"
    write_report(
        ReportSettings(
            [str(tmp_path)], {}, "validation", None, BootstrapSettings(100, 0), False, DashboardSettings("", None),
            str(folder),
        )
    )  # fmt: skip
    with (folder / "groups.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 * (2 + 2 * 2)  # arms, statistics; elements with forces, kinds with forces and energies
    (row,) = [
        row for row in rows
        if (row["group"], row["prop"], row["statistic"], row["arm"]) == ("slab", "energy", "rmse", "linear")
    ]  # fmt: skip
    assert [float(value) for value in row["errors"].split()] == pytest.approx([30.0, 16.5, 9.0])
    assert float(row["percent"]) == pytest.approx(0.0, abs=1e-9)
    assert (row["part"], row["seeds"], row["labels"]) == ("validation", "0 1 2", "10")
    for name in ("report.md", "groups.csv"):
        hashes = re.compile(r"\b[0-9a-f]{7,64}\b")  # which may hold these digits
        assert "777" not in hashes.sub("", (folder / name).read_text())
    assert json.dumps(rows).count("NaN") == 0
