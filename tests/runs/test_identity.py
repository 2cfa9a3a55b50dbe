"""The hash of a run: which settings it covers, and that earlier hashes still hold."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import yaml
from toy_training import toy_config

from scalarpath.core.errors import CheckpointError
from scalarpath.runs.continuation import check_unchanged
from scalarpath.runs.identity import config_hash, differing, is_hash_of
from scalarpath.runs.provenance import provenance
from scalarpath.runs.run_directory import RunDirectory

# when the hash covered all but logger, artifacts and output_dir
BEFORE = {"data": {"path": "cu.xyz", "cache": True}, "seed": 0, "measure_overhead": True, "output_dir": "run"}
HASH_BEFORE = "176943f423128a9f0910539912229ba67fc599fb482b79bdf74018a7c12eb15f"


def changed(path: str, value: Any) -> dict[str, Any]:
    config = deepcopy(toy_config())
    place = config
    *groups, key = path.split(".")
    for group in groups:
        place = place[group]
    place[key] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "decides"),
    [
        ("measure_overhead", True, False),
        ("logger.kind", "tensorboard", False),
        ("callbacks.progress.style", "lines", False),
        ("callbacks.step_timer", None, False),
        ("data.cache_dir", "/scratch", False),
        ("data.path", "other.extxyz", True),
        ("callbacks.ema.decay", 0.5, True),
        ("trainer.threads", 4, True),
        ("seed", 7, True),
    ],
)
def test_the_hash_covers_what_decides_numbers(path: str, value: Any, decides: bool) -> None:
    config = changed(path, value)
    assert (config_hash(config) != config_hash(toy_config())) == decides
    assert (path in differing(config, toy_config())) == decides


def test_how_a_start_is_made_decides_nothing_where_there_is_none() -> None:
    fit, keep = (toy_config() | {"init_e0s": how} for how in ("fit", "keep"))
    assert not differing(toy_config(), keep), "a run from before that setting"
    assert not differing(fit, keep)
    start = {"init_from": "a.ckpt"}
    assert set(differing(fit | start, keep | start)) == {"init_e0s"}


def test_a_hash_of_an_earlier_version_is_known() -> None:
    assert is_hash_of(HASH_BEFORE, BEFORE)
    assert is_hash_of(config_hash(BEFORE), BEFORE)
    assert not is_hash_of(HASH_BEFORE, BEFORE | {"measure_overhead": False})
    assert not is_hash_of(HASH_BEFORE, BEFORE | {"seed": 1})


@pytest.fixture
def begun(tmp_path) -> RunDirectory:
    directory = RunDirectory.create(tmp_path / "run")
    directory.write_text("config.yaml", yaml.safe_dump(toy_config()))
    directory.write_json("provenance.json", provenance(toy_config(), "data"))
    for name in ("splits.json", "metrics.csv", "checkpoints/last.ckpt"):
        (directory.path / name).touch()
    return directory


@pytest.mark.parametrize(("path", "value"), [("seed", 1), ("optimizer.lr", 0.1), ("trainer.max_epochs", 2)])
def test_a_run_with_an_edited_configuration_does_not_go_on(begun: RunDirectory, path: str, value: Any) -> None:
    check_unchanged(begun)
    begun.write_text("config.yaml", yaml.safe_dump(changed("callbacks.progress.style", "lines")))
    check_unchanged(begun)
    begun.write_text("config.yaml", yaml.safe_dump(changed(path, value)))
    with pytest.raises(CheckpointError, match=r"config\.yaml has been changed since this run began .* restore it, or"):
        check_unchanged(begun)


@pytest.mark.parametrize("name", ["splits.json", "metrics.csv", "provenance.json"])
def test_a_run_without_its_record_does_not_go_on(begun: RunDirectory, name: str) -> None:
    (begun.path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} (is missing; restore it|cannot be read)"):
        check_unchanged(begun)


def test_a_kill_while_more_epochs_are_written_down_does_not_stop_the_run(begun: RunDirectory) -> None:
    more = changed("trainer.max_epochs", 9) | {"earlier_max_epochs": [4]}
    begun.write_text("config.yaml", yaml.safe_dump(more))
    check_unchanged(begun)
