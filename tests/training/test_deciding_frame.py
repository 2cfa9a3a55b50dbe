"""The validation frame that alone chooses the tested epoch: what frames add to the loss, and the word about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from composed_jobs import SMOKE, job, run
from toy_training import labelled_graphs, toy_config

from scalarpath.core.settings import read_settings
from scalarpath.graph import collate
from scalarpath.runs.sections import LossSettings
from scalarpath.training import run as training
from scalarpath.training.deciding_frame import FRAME, RATIO, FrameLosses, deciding_frame
from scalarpath.training.losses import WeightedLoss

LAST_STAGE = {"start": 0.5, "energy": 2.0, "forces": 3.0, "stress": 5.0}


def loss(kind: str = "mse") -> WeightedLoss:
    changes = {
        "kind": kind,
        "huber_delta": {"energy": 0.05, "forces": 1.0, "stress": 1.0} if kind == "huber" else None,
        "stage_two": LAST_STAGE,
    }
    return WeightedLoss(read_settings(LossSettings, {**toy_config()["loss"], **changes}, "loss"))


def batch_and_prediction():
    """Six frames, of which the fourth has the largest errors of forces; some labels are missing."""
    batch = collate(labelled_graphs(6))
    wrong = torch.where(batch.batch == 3, 3.0, 0.3)[:, None].to(batch.pos)
    prediction = {"energy": batch.energy + 0.8, "forces": batch.forces - wrong, "stress": batch.stress + 0.01}
    batch.energy[2] = torch.nan
    batch.forces[batch.ptr[5] : batch.ptr[5] + 4] = torch.nan
    return batch, prediction


@pytest.mark.parametrize("kind", ["mse", "mae", "huber"])
def test_what_the_frames_add_is_the_loss_of_all_of_them_at_the_end_of_training(kind: str) -> None:
    batch, prediction = batch_and_prediction()
    losses = FrameLosses(loss(kind))
    losses.update(prediction, batch)
    whole = loss(kind)(prediction, batch, progress=1.0)
    assert sum(losses.terms().values()) == pytest.approx(whole.item(), rel=1e-12)


def test_what_a_frame_adds_is_what_the_loss_loses_when_it_is_predicted_right() -> None:
    batch, prediction = batch_and_prediction()
    losses = FrameLosses(loss())
    losses.update(prediction, batch)
    better = {
        "energy": prediction["energy"].index_copy(0, torch.tensor([3]), batch.energy[3:4]),
        "forces": torch.where((batch.batch == 3)[:, None], batch.forces, prediction["forces"]),
        "stress": prediction["stress"].index_copy(0, torch.tensor([3]), batch.stress[3:4]),
    }
    before, after = (loss()(p, batch, progress=1.0).item() for p in (prediction, better))
    assert losses.terms()[int(batch.frame[3])] == pytest.approx(before - after, rel=1e-9)


def test_the_frame_is_named_without_which_the_last_epoch_would_be_tested() -> None:
    best, last = {4: 6.0, 9: 2.0, 145: 5.0}, {4: 3.0, 9: 1.0, 145: 14.0}
    assert deciding_frame(best, last) == {FRAME: 145, RATIO: 0.5}


@pytest.mark.parametrize(
    "last",
    [
        {4: 1.5, 9: 2.5, 145: 9.0},  # the others are worse in the last epoch too
        {4: 0.95, 9: 1.95, 145: 9.0},  # they hardly differ
        {4: torch.nan, 9: 1.0, 145: 9.0},
    ],
)
def test_no_frame_is_named_where_the_others_do_not_clearly_want_the_last_epoch(last: dict[int, float]) -> None:
    assert deciding_frame({4: 1.0, 9: 2.0, 145: 5.0}, last) == {}


def test_a_single_validation_frame_has_no_others() -> None:
    assert deciding_frame({145: 5.0}, {145: 9.0}) == {}


def test_a_run_says_which_frame_chose_its_epoch(tmp_path: Path, monkeypatch, capsys) -> None:
    """As if epoch 1 had been the best one: the last weights are made worse, and all frames but one to like them."""
    directory, seen = tmp_path / "run", []

    def fit(*arguments, **options):
        result = training_fit(*arguments, **options)
        last = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
        last["potential"]["state_dict"]["scale"] *= 3.0
        torch.save(last, directory / "checkpoints" / "last.ckpt")
        return replace(result, best_epoch=1)

    def decide(best, last):
        seen.extend((best, last))
        return deciding_frame(best, {frame: 0.5 * value for frame, value in best.items()})

    training_fit = training.fit
    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(training, "deciding_frame", decide)
    summary = run(job(*SMOKE, "head=baseline", f"output_dir={directory}"))
    best, last = seen
    assert set(best) == set(last) == set(json.loads((directory / "splits.json").read_text())["valid"])
    assert sum(best.values()) == pytest.approx(summary["best/val/loss"], rel=1e-4)
    assert sum(last.values()) > 2 * sum(best.values())
    said = " ".join(capsys.readouterr().out.split())
    assert f"Validation frame {summary[FRAME]} alone chose epoch 1 of 2" in said
    assert "val/loss is 50 % smaller in the last epoch" in said


@pytest.mark.parametrize(
    ("setting", "best_epoch"),
    [("callbacks.checkpoint.tested=last", 2), ("callbacks.checkpoint.monitor=val/forces_mae_meV_A", 1)],
)
def test_nothing_is_said_of_the_last_epoch_or_of_another_choice(
    setting: str, best_epoch: int, tmp_path: Path, monkeypatch
) -> None:
    training_fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: replace(training_fit(*a, **k), best_epoch=best_epoch))
    monkeypatch.setattr(training, "frame_losses", lambda *_: pytest.fail("nothing to decide"))
    assert FRAME not in run(job(*SMOKE, "head=baseline", setting, f"output_dir={tmp_path / 'run'}"))
