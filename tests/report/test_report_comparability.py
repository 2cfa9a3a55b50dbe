"""Which runs are found, and which are refused to be compared."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import about, frame, report_of, write_arm, write_json, write_run, write_unfinished

from scalarpath.artifacts.rows import Row
from scalarpath.core.errors import ConfigError, ReportError
from scalarpath.report.cells import cells_of
from scalarpath.report.effects import ALL_DATA, percent
from scalarpath.report.frame_errors import read_group_errors
from scalarpath.report.runs import find_runs


def cells(*places: Path, where: dict | None = None):
    return cells_of(find_runs([str(place) for place in places], where or {})[0])


def test_runs_are_found_at_any_depth_and_once_although_places_overlap(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep/deep", "baseline")
    write_run(tmp_path / "other", "panpgs")
    (cell,) = cells(tmp_path, tmp_path / "sweep")
    assert {arm: list(seeds) for arm, seeds in cell.arms.items()} == {"baseline": [0], "panpgs": [0]}


def test_a_configuration_without_status_or_summary_is_no_run(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/config.yaml").write_text("a: 1\n")
    assert len(find_runs([str(tmp_path)], {})[0]) == 1


def test_unfinished_runs_are_listed_with_their_reason(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "panpgs")
    failed = write_unfinished(tmp_path / "b", "failed", "loss is not finite")
    running = write_unfinished(tmp_path / "c", "running")
    cut = write_run(tmp_path / "d", summary={"stopped_by": "max_time"})
    found, unfinished = find_runs([str(tmp_path)], {})
    assert [run.arm for run in found] == ["panpgs"]
    assert {run.path: run.reason for run in unfinished} == {
        failed: "failed: loss is not finite",
        running: "running",
        cut: "stopped by trainer.max_time before its last epoch",
    }


def test_nothing_finished_is_an_error(tmp_path: Path) -> None:
    write_unfinished(tmp_path, "running")
    with pytest.raises(ReportError, match=r"no finished run is there \(1 unfinished\)"):
        cells(tmp_path)
    with pytest.raises(ConfigError, match="there is no such directory"):
        cells(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("data.batch_size", 9, r"data\.batch_size \(5 and 9 in config\.yaml\); .*where=\{data\.batch_size:5\}"),
        ("optimizer.lr", 0.02, r"optimizer\.lr"),
        ("loss.kind", "mae", r"loss\.kind"),
        ("dtype", "float64", "dtype"),
        ("callbacks.ema.decay", 0.9, r"callbacks\.ema\.decay"),
        ("callbacks.early_stopping", {"patience": 3}, r"callbacks\.early_stopping\.patience \(null and 3"),
        ("trainer.max_time", 60.0, r"trainer\.max_time"),
    ],
)
def test_arms_with_different_settings_are_refused(tmp_path: Path, key: str, value: object, shown: str) -> None:
    first = write_run(tmp_path / "a", "baseline")
    other = write_run(tmp_path / "b", "panpgs", settings={key: value})
    with pytest.raises(ReportError, match=shown) as error:
        cells(tmp_path)
    assert str(first) in str(error.value)
    assert str(other) in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "terms"),
    [
        ("trainer.max_epochs", 12, ("3 epochs", "12 epochs")),
        ("backbone.num_channels", 64, ("", "num_channels 64")),
        ("backbone.cutoff", 6.0, ("cutoff 5.0", "cutoff 6.0")),
        ("data.train_size", 2, ("2 train frames", "3 train frames")),
    ],
)
def test_runs_of_another_budget_size_or_number_of_frames_are_compared_among_themselves(
    tmp_path: Path, key: str, value: object, terms: tuple[str, str]
) -> None:
    for arm, gain in (("baseline", 0), ("panpgs", -10)):
        write_arm(tmp_path / "a", arm, about(gain), summary={"parameters/total": 1000})
        write_arm(tmp_path / "b", arm, about(3 * gain), settings={key: value}, summary={"parameters/total": 2000})
    if key == "data.train_size":
        for file in (tmp_path / "b").glob("*/splits.json"):
            file.write_text(file.read_text().replace("[0, 1, 2]", "[0, 2]"))
    found = report_of(tmp_path)
    assert tuple(cell.terms for cell in found.cells) == terms
    gains = {
        cell.terms: round(percent(effect.mean))
        for cell in found.cells
        for effect in found.effects
        if (effect.place, effect.reference, effect.prop, effect.statistic) == (cell.place, "baseline", "forces", "mae")
    }
    expected = (-30, -10) if key == "data.train_size" else (-10, -30)
    assert tuple(gains.values()) == expected
    assert len({answer.name for answer in found.answers}) == 2


@pytest.mark.parametrize(
    ("key", "value", "terms"),
    [("trainer.max_epochs", 12, ["3 epochs"]), ("backbone.cutoff", 6.0, ["cutoff 5.0"])],
)
def test_data_sets_are_pooled_where_budget_and_size_are_the_same(
    tmp_path: Path, key: str, value: object, terms: list[str]
) -> None:
    own = {"": ("si", "lif"), "more": ("si",), "alone": ("ag",)}
    for factor, (folder, names) in zip((None, 1, 2), own.items(), strict=True):
        changed = {} if factor is None else {key: factor * value}
        for data, (arm, gain) in itertools.product(names, (("baseline", 0), ("panpgs", -10))):
            settings = {"data.name": data, **changed}
            write_arm(tmp_path / folder / data, arm, about(gain), settings=settings, summary={"data": data})
    pooled = [effect for effect in report_of(tmp_path).effects if effect.data == ALL_DATA]
    assert sorted({effect.terms for effect in pooled}) == terms
    assert {effect.data_sets for effect in pooled} == {2}


def test_arms_of_different_budgets_are_never_a_pair(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", "baseline", [0.0] * 3)
    write_arm(tmp_path / "b", "panpgs", [-0.3] * 3, settings={"trainer.max_epochs": 80})
    found = report_of(tmp_path)
    assert found.effects == ()
    assert "si × mace, 80 epochs: no baseline run, so nothing can be compared." in found.notes


def test_other_frames_of_the_same_number_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "baseline")
    other = write_run(tmp_path / "b", "panpgs")
    write_json(other / "splits.json", {"train": [0, 1, 6], "valid": [3], "test": [4, 5]})
    with pytest.raises(ReportError, match="different train frames"):
        cells(tmp_path)


def test_place_logging_and_measuring_may_differ(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "baseline")
    free = {"logger.kind": "wandb", "measure_overhead": True, "artifacts": "smoke", "callbacks.progress.style": "bar"}
    write_run(tmp_path / "b", "panpgs", settings={**free, "data.path": "elsewhere/si.extxyz", "trainer.threads": 2})
    write_run(tmp_path / "c", "pan", settings={"data.test_path": ["test.extxyz"], "data.split_file": "split.json"})
    assert len(cells(tmp_path)) == 1


def test_an_absent_setting_is_one_that_is_null_and_the_oldest_runs_were_not_compiled(tmp_path: Path) -> None:
    old = write_run(tmp_path / "a", "baseline")
    text = (old / "config.yaml").read_text()
    (old / "config.yaml").write_text(text.replace('"compile": false, ', "").replace(', "max_edges": null', ""))
    assert len((old / "config.yaml").read_text()) == len(text) - len('"compile": false, , "max_edges": null')
    write_run(tmp_path / "b", "panpgs")
    assert len(cells(tmp_path)) == 1


def test_other_data_another_split_and_another_device_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "0", "baseline")
    write_run(tmp_path / "1", "panpgs", data_hash="other")
    write_run(tmp_path / "2", "panpgs", test=[4, 6])
    write_run(tmp_path / "3", "panpgs", summary={"device": "cuda:0"})
    for number, message in (("1", "data_hash in provenance"), ("2", "different test frames"), ("3", "cpu and cuda")):
        with pytest.raises(ReportError, match=message):
            cells(tmp_path / "0", tmp_path / number)


def test_seeds_of_one_arm_with_different_heads_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, "panpgs", 0, settings={"head.parts.band.size": 8})
    write_run(tmp_path, "panpgs", 1, settings={"head.parts.band.size": 12})
    with pytest.raises(ReportError, match=r"head\.parts\.band\.size \(8 and 12"):
        cells(tmp_path)


def test_two_runs_of_one_arm_and_seed_are_refused_by_name(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, "panpgs", 3) for name in "ab"]
    with pytest.raises(ReportError, match=f"{paths[0]} and {paths[1]} are both si × mace × panpgs with seed 3"):
        cells(tmp_path)
    write_run(tmp_path / "c", "panpgs", 3, settings={"measure_overhead": True})
    with pytest.raises(ReportError, match=r"with seed 3, and differ in measure_overhead; choose one"):
        cells(tmp_path / "a", tmp_path / "c")


def test_where_chooses_by_any_setting_and_by_short_names(tmp_path: Path) -> None:
    write_arm(tmp_path / "a", "baseline", [0.0, 0.0])
    write_arm(tmp_path / "b", "baseline", [0.0, 0.0], settings={"trainer.max_epochs": 80})
    write_arm(tmp_path / "b", "panpgs", [0.0, 0.0], settings={"trainer.max_epochs": 80})
    (cell,) = cells(tmp_path, where={"trainer": {"max_epochs": 80}, "seed": [1, 7]})
    assert {arm: list(seeds) for arm, seeds in cell.arms.items()} == {"baseline": [1], "panpgs": [1]}
    assert list(cells(tmp_path, where={"head": "panpgs"})[0].arms) == ["panpgs"]
    with pytest.raises(ConfigError, match=r"no run has the setting 'trainer\.epochs'"):
        cells(tmp_path, where={"trainer.epochs": 3})
    with pytest.raises(ReportError, match="no finished run that where= selects"):
        cells(tmp_path, where={"head": "pan"})


def test_other_data_sets_and_backbones_may_have_other_settings_and_budgets_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", settings={"trainer.max_epochs": 80})
    write_run(tmp_path, "baseline", data="ag")
    write_run(tmp_path, "baseline", backbone="nequip")
    assert [cell.name for cell in cells(tmp_path)] == ["ag × mace, 3 epochs", "si × mace, 80 epochs", "si × nequip"]


def test_seeds_without_a_partner_are_left_out_and_named(tmp_path: Path) -> None:
    write_arm(tmp_path, "baseline", [0.0] * 5)
    write_arm(tmp_path, "panpgs", [-0.1] * 3)
    found = report_of(tmp_path)
    assert {effect.seeds for effect in found.effects} == {(0, 1, 2)}
    assert "si × mace, panpgs against baseline: left out without a partner: seeds 3, 4." in found.notes


def test_mixed_revisions_and_a_missing_baseline_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", commit="a" * 40)
    write_run(tmp_path, "panpgs", commit="b" * 40)
    write_run(tmp_path, "panpgs", data="ag")
    notes = " ".join(report_of(tmp_path).notes)
    assert "si × mace: runs of revisions aaaaaaa, bbbbbbb" in notes
    assert "ag × mace: no baseline run, so nothing can be compared." in notes


def test_frames_that_do_not_add_up_to_the_summary_are_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path, frames=[frame(4, "4", 2, 1.0, 10.0), frame(5, "5", 2, 1.0, 20.0)])
    report_of(tmp_path)
    text = (path / "summary.json").read_text()
    write_json(path / "summary.json", {**json.loads(text), "test/forces_mae_meV_A": 16.0})
    with pytest.raises(ReportError, match=r"forces MAE of 15, but summary\.json says 16"):
        report_of(tmp_path)


def test_frames_of_which_some_atoms_have_no_force_count_by_their_labels(tmp_path: Path) -> None:
    rows = [frame(4, "4", 2, 1.0, 10.0), frame(5, "5", 2, 1.0, 20.0)]
    more = [row | {"forces_labels": labels} for row, labels in zip(rows, (3, 6), strict=True)]
    path = write_run(tmp_path, frames=more)
    summary = json.loads((path / "summary.json").read_text())
    write_json(path / "summary.json", {**summary, "test/forces_mae_meV_A": (3 * 10.0 + 6 * 20.0) / 9})
    ((run,), _) = find_runs([str(path)], {})
    found = read_group_errors(run)
    assert found is not None
    # of labelled atoms, as in files of before that lack the column: runs of both are compared
    assert found.errors["forces"].tolist() == [10.0, 40.0]


def test_arms_with_different_groups_of_test_frames_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", frames=[frame(4, "4", 2, 1.0, 10.0), frame(5, "5", 2, 1.0, 20.0)])
    write_run(tmp_path, "panpgs", frames=[frame(4, "a", 2, 1.0, 10.0), frame(5, "a", 2, 1.0, 20.0)])
    with pytest.raises(ReportError, match="different test frames or groups"):
        report_of(tmp_path)


def measured(run: Path, **changes: Any) -> Path:
    """With the repulsion of copper."""
    row = asdict(Row("softening_slope", "slope", "", 1.0, 1.0, 0.0)) | {"low": None, "high": None}
    settings = {"lowest_fraction": 0.6, "min_train_distance_A": {"CuCu": 2.0 + len(run.name)}}
    content = {"measure": "repulsion", "material": "cu", "structure_hash": "fcc", "settings": settings, "rows": [row]}
    (run / "artifacts").mkdir()
    write_json(run / "artifacts/repulsion.json", content | changes)
    return run


@pytest.mark.parametrize(
    ("changes", "differ"),
    [
        ({"structure_hash": "bcc"}, r"on different structures \(structure_hash\)"),
        ({"settings": {"lowest_fraction": 0.8}}, r"with settings\.repulsion\.lowest_fraction=0\.6 and 0\.8"),
    ],
)
def test_artifacts_of_other_structures_or_settings_are_left_out(tmp_path: Path, changes: dict, differ: str) -> None:
    one, other = measured(write_run(tmp_path, "baseline")), measured(write_run(tmp_path, "panpgs"), **changes)
    found = report_of(tmp_path)
    assert not found.artifacts
    note = next(note for note in found.notes if "left out" in note)
    assert note.startswith(f"si × mace: repulsion of cu is left out: {one}/artifacts/repulsion.json and {other}/")
    assert re.search(f"were measured {differ}; measure both alike", note)


def test_artifacts_of_before_that_tell_no_structure_are_compared(tmp_path: Path) -> None:
    path = measured(write_run(tmp_path, "baseline")) / "artifacts/repulsion.json"
    old = json.loads(path.read_text())
    del old["structure_hash"]
    write_json(path, old | {"settings": {}})
    measured(write_run(tmp_path, "panpgs"))
    (line,) = report_of(tmp_path).artifacts
    assert set(line.rows) == {"baseline", "panpgs"}
    measured(write_run(tmp_path, "pan"), structure_hash="bcc")
    assert not report_of(tmp_path).artifacts, "two that tell it differ"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.yaml", "null", "holds no settings"),
        ("summary.json", "{", "summary.json cannot be read"),
        ("summary.json", "null", "summary.json holds no JSON object"),
        ("summary.json", "{}", "lacks 'data'"),
        ("provenance.json", "{}", "lacks 'data_hash'"),
        ("splits.json", "[]", "splits.json holds no JSON object"),
        ("status.json", '{"state": "finished", "sha256": {"summary.json": "0"}}', "summary.json has changed since"),
    ],
)
def test_a_damaged_run_is_left_out_and_listed(tmp_path: Path, name: str, content: str, reason: str) -> None:
    write_run(tmp_path / "a")
    damaged = write_run(tmp_path / "b", seed=1)
    (damaged / name).write_text(content)
    found, (left_out,) = find_runs([str(tmp_path)], {})
    assert [run.seed for run in found] == [0]
    assert left_out.path == damaged
    assert reason in left_out.reason
