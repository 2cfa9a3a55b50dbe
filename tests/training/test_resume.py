"""Resuming: a run that was cut off continues as if it had never stopped."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from interrupted_training import TIMES, CutOffAt, CutOffError, assert_same, with_extra_callback
from toy_training import ToyData, ToyPotential, new_directory, toy_job

from scalarpath.core.errors import CheckpointError
from scalarpath.potential.parts import freeze
from scalarpath.training.fit import fit


class HookCounter(pl.Callback):
    """Notes for which epochs the epoch hooks ran."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.seen.append(("start", trainer.current_epoch))

    def on_validation_epoch_end(self, trainer, pl_module) -> None:
        self.seen.append(("valid", trainer.current_epoch))

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.seen.append(("end", trainer.current_epoch))


def rows(directory) -> list[dict[str, str]]:
    with (directory.path / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def potential(frozen: list[str]) -> ToyPotential:
    """The toy, with parts frozen as a training does it."""
    toy = ToyPotential()
    freeze(toy.parts(), frozen)
    return toy


PLATEAU = {
    "kind": "plateau",
    "final_factor": None,
    "plateau": {"monitor": "val/loss", "factor": 0.5, "patience": 0, "threshold": 0.2, "min_factor": 0.01},
}
SOAP = {"kind": "soap", "amsgrad": False, "basis_interval": 4, "basis_max_size": 64}
MUON = {"kind": "muon", "amsgrad": False}
CONSTANT = {"kind": "constant", "final_factor": None}
SCHEDULE_FREE = {
    "optimizer": {"kind": "schedule_free", "amsgrad": False}, "scheduler": CONSTANT, "callbacks": {"ema": None}
}  # fmt: skip
STAGE_TWO = {"stage_two": {"start": 0.5, "energy": 100.0, "forces": 1.0, "stress": 0.0}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scheduler": PLATEAU, "loss": STAGE_TWO},
        {"callbacks": {"ema": None, "early_stopping": {"monitor": "val/loss", "patience": 50, "min_delta": 0.0}}},
        {"trainer": {"accumulate_batches": 2}},
        {"trainer": {"gradient_clip": "auto"}},
        {"optimizer": SOAP},
        {"optimizer": MUON},
        SCHEDULE_FREE,
        {"depth_factor": 0.5, "frozen": ["layer_1"], "optimizer": SOAP},
        {"depth_factor": 0.5, "optimizer": MUON},
        SCHEDULE_FREE | {"depth_factor": 0.5, "frozen": ["head"]},
    ],
    ids=[
        "cosine", "plateau+stage_two", "no_ema", "accumulate", "clip", "soap", "muon", "schedule_free", "soap+frozen",
        "muon+depth", "schedule_free+frozen",
    ],
)  # fmt: skip
@pytest.mark.parametrize("cut", [1, 3])
def test_resuming_after_a_crash_gives_the_same_run_bit_by_bit(tmp_path: Path, monkeypatch, changes, cut: int) -> None:
    trainer = {"max_epochs": 5, **changes.get("trainer", {})}
    settings = toy_job(**{**changes, "trainer": trainer})
    frozen = changes.get("frozen", [])
    whole, cut_off = new_directory(tmp_path / "whole"), new_directory(tmp_path / "cut")
    expected = fit(potential(frozen), ToyData(), settings, whole, [])
    with monkeypatch.context() as patch:
        with_extra_callback(patch, CutOffAt(cut))
        with pytest.raises(CutOffError):
            fit(potential(frozen), ToyData(), settings, cut_off, [])
    counter = HookCounter()
    with_extra_callback(monkeypatch, counter)
    result = fit(potential(frozen), ToyData(), settings, cut_off, [], resume=True)

    assert (result.best_epoch, result.best_value) == (expected.best_epoch, expected.best_value)
    assert rows(cut_off) == rows(whole)
    for name in ("best.ckpt", "last.ckpt"):
        checkpoints = [torch.load(d.checkpoints / name, weights_only=True) for d in (whole, cut_off)]
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "potential"):
            assert_same(*(c[key] for c in checkpoints), where=f"{name}/{key}")
    assert counter.seen == [(hook, epoch) for epoch in range(cut, 5) for hook in ("start", "valid", "end")]


def test_rows_beyond_the_checkpoint_are_dropped(tmp_path: Path, monkeypatch) -> None:
    """A crash between metrics.csv and the checkpoint leaves a row too many."""
    directory = new_directory(tmp_path / "run")
    with_extra_callback(monkeypatch, CutOffAt(2))
    with pytest.raises(CutOffError):
        fit(ToyPotential(), ToyData(), toy_job(), directory, [])
    path = directory.path / "metrics.csv"
    text = path.read_text()
    path.write_text(text + "3," + text.splitlines()[-1].split(",", 1)[1] + "\n")
    monkeypatch.undo()
    fit(ToyPotential(), ToyData(), toy_job(), directory, [], resume=True)
    assert [row["epoch"] for row in rows(directory)] == ["1", "2", "3", "4"]


def test_two_runs_of_one_seed_give_the_same_numbers(tmp_path: Path) -> None:
    runs = [new_directory(tmp_path / name) for name in "ab"]
    for directory in runs:
        fit(ToyPotential(dtype=torch.float32), ToyData(), toy_job(), directory, [])
    assert rows(runs[0]) == rows(runs[1])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("checkpoints/last.ckpt", lambda whole: whole[:-5], "last.ckpt is damaged or no checkpoint"),
        (
            "checkpoints/last.ckpt",
            lambda whole: whole[:900] + bytes([whole[900] ^ 8]) + whole[901:],
            "last.ckpt is dam",
        ),
        ("metrics.csv", lambda whole: whole.replace(b"\n1,", b"\none,"), "metrics.csv cannot be read"),
        ("metrics.csv", lambda whole: whole.replace(b"epoch", b"epoxy"), "metrics.csv cannot be read"),
        ("metrics.csv", lambda whole: b"\xff" + whole, "metrics.csv cannot be read"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, monkeypatch, name, damage, message) -> None:
    directory = new_directory(tmp_path / "run")
    with_extra_callback(monkeypatch, CutOffAt(1))
    with pytest.raises(CutOffError):
        fit(ToyPotential(), ToyData(), toy_job(), directory, [])
    monkeypatch.undo()
    file = directory.path / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError, match=message):
        fit(ToyPotential(), ToyData(), toy_job(), directory, [], resume=True)


def test_more_epochs_stretch_the_schedule_from_there_on(tmp_path: Path) -> None:
    """The rates of the added epochs are those of a run that was to have as many from the start."""
    longer, whole = new_directory(tmp_path / "longer"), new_directory(tmp_path / "whole")
    fit(ToyPotential(), ToyData(), toy_job(trainer={"max_epochs": 2}), longer, [])
    fit(ToyPotential(), ToyData(), toy_job(trainer={"max_epochs": 5}), longer, [], resume=True)
    fit(ToyPotential(), ToyData(), toy_job(trainer={"max_epochs": 5}), whole, [])
    rates = [[row["lr"] for row in rows(directory)] for directory in (longer, whole)]
    assert rates[0][2:] == rates[1][2:]
    assert rates[0][1] != rates[1][1]
