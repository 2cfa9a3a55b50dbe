"""Errors on frames of other files, measured by ``evaluate.py frames=``: compared by seed, like test errors."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import measured, report_of, write_run

from scalarpath.core.errors import ReportError
from scalarpath.report.command import write_report
from scalarpath.report.other_frames import OtherFrames
from scalarpath.report.settings import BootstrapSettings, DashboardSettings, ReportSettings
from scalarpath.report.table import UNKNOWN
from scalarpath.report.tables import tables

RATIOS = (0.5, 0.6, 0.7)


def write_arms(folder: Path) -> None:
    for seed, ratio in enumerate(RATIOS):
        measured(write_run(folder, seed=seed), 10.0 + seed)
        measured(write_run(folder, "pan_node", seed), (10.0 + seed) * ratio)
        measured(write_run(folder, "ctrl_mlp", seed), 20.0 * (10.0 + seed) * ratio)


def found(folder: Path, metric: str = "forces_mae_meV_A", **more: Any) -> list[OtherFrames]:
    return [item for item in report_of(folder, claims=None, **more).other_frames if item.metric == metric]


def test_changes_are_paired_by_seed_against_baseline_and_controls(tmp_path: Path) -> None:
    write_arms(tmp_path)
    (item,) = found(tmp_path)
    assert item.errors["pan_node"] == pytest.approx({0: 5.0, 1: 6.6, 2: 8.4})
    logs = [math.log(ratio) for ratio in RATIOS]
    assert item.changes["pan_node", "baseline"][0] == pytest.approx(sum(logs) / 3)
    assert item.changes["pan_node", "ctrl_mlp"] == pytest.approx([-math.log(20)] * 3)


def test_energies_of_another_method_are_compared_about_their_median_error(tmp_path: Path) -> None:
    write_arms(tmp_path)
    (item,) = found(tmp_path, "energy_mae_about_median_meV_atom")
    assert item.errors["baseline"] == pytest.approx({seed: 2 / 3 * (10.0 + seed) for seed in range(3)})
    (as_it_is,) = found(tmp_path, "energy_mae_meV_atom")
    assert as_it_is.changes["pan_node", "baseline"][0] == 0.0


def test_kinds_of_frames_stand_by_themselves_where_there_are_several(tmp_path: Path) -> None:
    kinds = {"slab": {"forces_mae_meV_A": 7.0}, "all": {"forces_mae_meV_A": 3.0}}  # a config_type has any name
    measured(write_run(tmp_path), 5.0, errors={"config_type": kinds})
    measured(write_run(tmp_path, "linear"), 5.0, file="one.extxyz", errors={"config_type": {"slab": kinds["slab"]}})
    assert [(item.file, item.group) for item in found(tmp_path)] == [
        ("one.extxyz", None), ("other.extxyz", None), ("other.extxyz", "all"), ("other.extxyz", "slab")
    ]  # fmt: skip


def test_different_frames_of_one_name_are_not_compared(tmp_path: Path) -> None:
    measured(write_run(tmp_path), 5.0)
    measured(write_run(tmp_path, "linear"), 5.0, frames_hash="another")
    with pytest.raises(ReportError, match=r"different frames or labels .*evaluate.py frames=/data/other.extxyz"):
        found(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"frames": 2}'])
@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_a_damaged_file_is_named(content: str, suffix: str, tmp_path: Path) -> None:
    path = measured(write_run(tmp_path), 5.0).with_suffix(suffix)
    path.write_text(f"{content}\n{content}")
    with pytest.raises(ReportError, match=rf"{path.name} is damaged .*measure it again"):
        found(tmp_path)


def test_development_does_not_show_them(tmp_path: Path) -> None:
    measured(write_run(tmp_path, others={"valid_frames": 1.0}), 5.0)
    assert found(tmp_path)
    assert not found(tmp_path, part="validation")


def test_the_table_and_the_file_have_every_arm_and_comparison(tmp_path: Path) -> None:
    write_arms(tmp_path / "runs")
    (table,) = [t for t in tables(report_of(tmp_path / "runs", claims=None)) if "other.extxyz" in t.title]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    (gate,) = [row for row in rows if row["head"] == "pan_node" and row["MAE of"].startswith("force")]
    assert gate["frames"] == "all 2"
    assert gate["MAE"] == "6.667 ± 1.7"
    assert gate["against ctrl_mlp, %"] == "-95.0 [-95.0, -95.0]"
    assert [row["against baseline, %"] for row in rows if row["head"] == "baseline"] == [UNKNOWN] * 3
    output = tmp_path / "report"
    settings = (None, None, BootstrapSettings(100, 0), False, DashboardSettings("", None), str(output))
    write_report(ReportSettings([str(tmp_path / "runs")], {}, *settings))
    rows = list(csv.DictReader((output / "other_frames.csv").open()))
    of_forces = [row for row in rows if row["metric"] == "forces_mae_meV_A"]
    assert [(row["arm"], row["against"]) for row in of_forces if row["arm"] == "pan_node"] == [
        ("pan_node", ""), ("pan_node", "baseline"), ("pan_node", "ctrl_mlp")
    ]  # fmt: skip
