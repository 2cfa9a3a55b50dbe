"""The weight average: its value, its use in validation, its place in checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from interrupted_training import with_extra_callback
from toy_training import ToyData, ToyPotential, in_batches, new_directory, toy_job

from scalarpath.training.evaluation import evaluate
from scalarpath.training.fit import fit


class Recorder(pl.Callback):
    """Follows weights step by step and averages them by the textbook."""

    def __init__(self, decay: float) -> None:
        self.decay, self.steps, self.average = decay, 0, None
        self.in_validation: list[torch.Tensor] = []
        self.expected: list[torch.Tensor] = []
        self.weights: list[torch.Tensor] = []

    def on_train_start(self, trainer, pl_module) -> None:
        self.average = pl_module.potential.first.detach().clone()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.weights.append(pl_module.potential.first.detach().clone())
        self.average = decay * self.average + (1 - decay) * self.weights[-1]

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0) -> None:
        if batch_idx == 0:
            self.in_validation.append(pl_module.potential.first.detach().clone())
            self.expected.append(self.average)

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if self.weights:
            # of schedule_free to rounding: it comes back by arithmetic
            torch.testing.assert_close(pl_module.potential.first.detach(), self.weights[-1], rtol=1e-12, atol=1e-14)


def run(tmp_path: Path, monkeypatch, **changes):
    directory, recorder = new_directory(tmp_path / "run"), Recorder(0.9)
    with_extra_callback(monkeypatch, recorder)
    fit(ToyPotential(), ToyData(), toy_job(**changes), directory, [])
    return directory, recorder


def test_validation_sees_the_average_and_training_the_plain_weights(tmp_path: Path, monkeypatch) -> None:
    _, recorder = run(tmp_path, monkeypatch)
    assert len(recorder.in_validation) == 4
    for seen, expected in zip(recorder.in_validation, recorder.expected, strict=True):
        torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(recorder.in_validation[-1], recorder.weights[-1], rtol=1e-3)


def test_a_checkpoint_holds_the_averaged_potential_beside_the_plain_weights(tmp_path: Path, monkeypatch) -> None:
    directory, recorder = run(tmp_path, monkeypatch)
    last = torch.load(directory.checkpoints / "last.ckpt", weights_only=True)
    assert torch.equal(last["potential"]["state_dict"]["first"], recorder.in_validation[-1])
    assert torch.equal(last["state_dict"]["potential.first"], recorder.weights[-1])


SCHEDULE_FREE = {
    "optimizer": {"kind": "schedule_free", "amsgrad": False},
    "scheduler": {"kind": "constant", "final_factor": None},
    "callbacks": {"ema": None},
}


def test_schedule_free_validates_and_stores_its_own_average(tmp_path: Path, monkeypatch) -> None:
    directory, recorder = run(tmp_path, monkeypatch, **SCHEDULE_FREE)
    last = torch.load(directory.checkpoints / "last.ckpt", weights_only=True)
    average, weights = last["potential"]["state_dict"]["first"], last["state_dict"]["potential.first"]
    torch.testing.assert_close(average, recorder.in_validation[-1], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weights, recorder.weights[-1], rtol=1e-12, atol=1e-14)
    z = last["optimizer_states"][0]["state"][0]["z"]
    torch.testing.assert_close(weights, 0.1 * z + 0.9 * average, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(average, weights, rtol=1e-3)


@pytest.mark.parametrize("changes", [{}, SCHEDULE_FREE], ids=["ema", "schedule_free"])
def test_the_best_checkpoint_reproduces_its_validation_errors(tmp_path: Path, monkeypatch, changes) -> None:
    import csv

    directory, _ = run(tmp_path, monkeypatch, **changes)
    best = torch.load(directory.checkpoints / "best.ckpt", weights_only=True)
    potential = ToyPotential()
    potential.load_state_dict(best["potential"]["state_dict"])
    values = evaluate(potential, in_batches(ToyData().valid_graphs, 3))
    with (directory.path / "metrics.csv").open(newline="") as file:
        row = min(csv.DictReader(file), key=lambda row: float(row["val/loss"]))
    for name, value in values.items():
        assert abs(float(row[f"val/{name}"]) / value - 1) < 1e-6, name


def test_without_averaging_the_potential_of_the_checkpoint_has_the_plain_weights(tmp_path: Path, monkeypatch) -> None:
    directory, recorder = run(tmp_path, monkeypatch, callbacks={"ema": None})
    last = torch.load(directory.checkpoints / "last.ckpt", weights_only=True)
    assert torch.equal(last["potential"]["state_dict"]["first"], recorder.weights[-1])
