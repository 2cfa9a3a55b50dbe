"""What happens around the steps: stopping, guarding, timing, reporting."""

from __future__ import annotations

import csv
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from interrupted_training import with_extra_callback
from toy_training import ToyData, ToyPotential, new_directory, toy_job

from scalarpath.core.errors import ConfigError, TrainingError
from scalarpath.core.metrics import logged_metrics
from scalarpath.training.callbacks import progress
from scalarpath.training.fit import fit


def table(directory) -> list[dict[str, str]]:
    with (directory.path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def fitted(tmp_path: Path, potential=None, data=None, **changes):
    directory = new_directory(tmp_path / "run")
    result = fit(potential or ToyPotential(), data or ToyData(), toy_job(**changes), directory, [])
    return result, directory


def plateau(monitor: str) -> dict[str, Any]:
    """The section scheduler."""
    settings = {"monitor": monitor, "factor": 0.5, "patience": 0, "threshold": 0.99, "min_factor": 0.0}
    return {"kind": "plateau", "warmup_steps": 0, "final_factor": None, "plateau": settings}


def test_metrics_csv_has_one_complete_row_per_epoch(tmp_path: Path) -> None:
    result, directory = fitted(tmp_path)
    rows = table(directory)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert (result.stopped_by, result.epochs, result.steps) == ("max_epochs", 4, 12)
    for row in rows:
        assert all(value != "" for value in row.values())
        for stage in ("train", "val"):
            for column in (
                "loss", "loss_energy", "loss_forces", "loss_stress", "energy_mae_meV_atom", "energy_rmse_meV_atom",
                "forces_mae_meV_A", "forces_rmse_meV_A", "stress_mae_meV_A3", "stress_rmse_meV_A3", "forces_labels",
            ):  # fmt: skip
                assert float(row[f"{stage}/{column}"]) > 0
        for column in ("lr", "train/grad_norm_mean", "train/grad_norm_max", "time/step_ms", "time/epoch_s"):
            assert float(row[column]) > 0


def test_training_lowers_the_errors(tmp_path: Path) -> None:
    _, directory = fitted(tmp_path, trainer={"max_epochs": 30})
    rows = table(directory)
    for column in ("val/forces_rmse_meV_A", "val/stress_rmse_meV_A3", "train/loss"):
        assert float(rows[-1][column]) < 0.7 * float(rows[0][column]), column


def rough_epochs(tmp_path: Path, **checkpoint: str):
    """A training of six epochs with so large a rate that its monitored value rises and falls; with these values."""
    monitor = "val/energy_mae_meV_atom"
    result, directory = fitted(
        tmp_path,
        optimizer={"lr": 0.3},
        scheduler={"warmup_steps": 0},
        trainer={"max_epochs": 6},
        callbacks={"checkpoint": {"monitor": monitor, **checkpoint}, "ema": None},
    )
    return result, directory, [float(row[monitor]) for row in table(directory)]


def test_the_best_checkpoint_is_the_epoch_with_the_smallest_monitored_value(tmp_path: Path) -> None:
    result, directory, values = rough_epochs(tmp_path)
    assert result.best_value == min(values)
    assert result.best_epoch == values.index(min(values)) + 1
    assert torch.load(directory.checkpoints / "best.ckpt", weights_only=True)["epoch"] == result.best_epoch - 1
    assert torch.load(directory.checkpoints / "last.ckpt", weights_only=True)["epoch"] == 5
    assert not list(directory.checkpoints.glob("*.part"))


def test_the_last_epoch_can_be_the_one_that_is_tested(tmp_path: Path) -> None:
    """Where few validation frames would choose: the rate is zero at the end of a cosine schedule."""
    result, directory, values = rough_epochs(tmp_path, tested="last")
    assert min(values) < values[-1]  # another epoch would have been the best one
    assert (result.best_epoch, result.best_value) == (6, values[-1])
    files = [(directory.checkpoints / name).read_bytes() for name in ("best.ckpt", "last.ckpt")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"callbacks": {"checkpoint": {"monitor": "val/los"}}}, "callbacks.checkpoint.monitor"),
        (
            {"callbacks": {"early_stopping": {"monitor": "val/los", "patience": 2, "min_delta": 0.0}}},
            "callbacks.early_stopping.monitor",
        ),
        ({"scheduler": plateau("val/los")}, "scheduler.plateau.monitor"),
        # exists, but the schedule is told its value before it is logged
        ({"scheduler": plateau("train/loss")}, "scheduler.plateau.monitor"),
    ],
)
def test_a_metric_that_is_not_logged_cannot_be_monitored(changes, setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting} = '(val/los|train/loss)' is not logged.*val/loss"):
        toy_job(**changes)


def test_what_may_be_monitored_is_what_is_logged(tmp_path: Path) -> None:
    for number, loss in enumerate(({}, {"stress": 0.0})):
        job = toy_job(loss=loss, trainer={"max_epochs": 1})
        directory = new_directory(tmp_path / str(number))
        fit(ToyPotential(), ToyData(), job, directory, [])
        columns = {name for name in table(directory)[0] if not name.startswith(("epoch", "time/"))}
        assert columns == set(logged_metrics(job.loss.required))


def test_the_validation_loss_has_the_weights_of_the_last_stage_from_the_first_epoch_on(tmp_path: Path) -> None:
    """So that the best epoch is chosen by one measure."""
    _, directory = fitted(tmp_path, loss={"stage_two": {"start": 0.5, "energy": 50.0, "forces": 0.0, "stress": 0.0}})
    for row, train_weight in zip(table(directory), (1.0, 1.0, 50.0, 50.0), strict=True):
        for stage, weight in (("val", 50.0), ("train", train_weight)):
            squared = (float(row[f"{stage}/energy_rmse_meV_atom"]) / 1e3) ** 2
            assert float(row[f"{stage}/loss_energy"]) == pytest.approx(weight * squared, rel=1e-5)


def test_a_plateau_of_the_monitored_metric_lowers_the_learning_rate(tmp_path: Path) -> None:
    _, directory = fitted(tmp_path, scheduler=plateau("val/loss"))
    assert [float(row["lr"]) for row in table(directory)] == pytest.approx([0.01, 0.01, 0.005, 0.0025])


def test_early_stopping_ends_training_after_patience_bad_epochs(tmp_path: Path) -> None:
    result, directory = fitted(
        tmp_path,
        trainer={"max_epochs": 50},
        callbacks={"early_stopping": {"monitor": "val/loss", "patience": 2, "min_delta": 100.0}},
    )
    assert result.stopped_by == "early_stopping"
    assert len(table(directory)) == 3


def test_max_time_ends_training_after_the_epoch_that_is_late(tmp_path: Path) -> None:
    result, directory = fitted(tmp_path, trainer={"max_epochs": 50, "max_time": 1e-6})
    assert result.stopped_by == "max_time"
    assert len(table(directory)) == 1
    assert (directory.checkpoints / "last.ckpt").exists()


def test_a_loss_that_is_not_finite_stops_the_run_before_a_checkpoint_is_touched(tmp_path: Path) -> None:
    class Breaks(ToyPotential):
        calls = 0

        def forward(self, batch, **kwargs):
            result = super().forward(batch, **kwargs)
            if self.training:
                Breaks.calls += 1
                if Breaks.calls == 5:
                    result["energy"] = result["energy"] * float("inf")
            return result

    with pytest.raises(TrainingError, match=r"loss (inf|nan) with .* in epoch 2, step 5 \(frames \["):
        fitted(tmp_path, potential=Breaks())
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 0
    assert all(torch.isfinite(x).all() for x in last["potential"]["state_dict"].values())


def test_a_gradient_that_is_not_finite_stops_the_run_though_the_loss_is_finite(tmp_path: Path) -> None:
    class Breaks(ToyPotential):
        def forward(self, batch, **kwargs):
            result = super().forward(batch, **kwargs)
            return {**result, "energy": result["energy"] + (self.head * 0).abs().sqrt().sum()}

    with pytest.raises(TrainingError, match="gradient norm nan in epoch 1, step 1"):
        fitted(tmp_path, potential=Breaks())
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_gradients_are_clipped_by_their_norm_and_logged_before_clipping(tmp_path: Path) -> None:
    class Watch(ToyPotential):
        norms: list[float] = []  # noqa: RUF012

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("unused", torch.zeros(1))

    import pytorch_lightning as pl

    seen: list[float] = []

    class Norms(pl.Callback):
        def on_before_zero_grad(self, trainer, pl_module, optimizer) -> None:
            grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
            if grads:
                seen.append(torch.cat([g.flatten() for g in grads]).norm().item())

    from test_resume import with_extra_callback

    with pytest.MonkeyPatch.context() as patch:
        with_extra_callback(patch, Norms())
        _, directory = fitted(tmp_path, potential=Watch(), trainer={"gradient_clip": 0.01})
    assert max(seen) <= 0.01 * (1 + 1e-6)
    assert all(float(row["train/grad_norm_max"]) > 0.01 for row in table(directory))


def test_the_head_does_not_decay_and_the_backbone_does(tmp_path: Path) -> None:
    from scalarpath.optimizers import build_optimizer

    potential = ToyPotential()
    with torch.no_grad():
        potential.head += 1.0
    before = {name: p.detach().clone() for name, p in potential.named_parameters()}
    settings = toy_job(optimizer={"weight_decay": 0.5}).optimizer
    optimizer = build_optimizer(settings, potential.backbone_parameters(), potential.head_parameters())
    for p in potential.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert torch.equal(potential.head, before["head"])
    torch.testing.assert_close(potential.first.detach(), before["first"] * (1 - 0.01 * 0.5))


def test_the_timer_leaves_out_the_warm_up(tmp_path: Path) -> None:
    result, _ = fitted(tmp_path, callbacks={"step_timer": {"warmup_steps": 7}})
    assert result.times["time/timed_steps"] == 12 - 7
    assert 0 < result.times["time/step_ms"] < 1e3
    assert 0 < result.times["time/data_ms"] < 1e3


def test_the_share_of_waiting_is_that_of_a_slow_loader(tmp_path: Path, monkeypatch) -> None:
    """Every epoch has 3 waits of 20 ms; steps take a few ms."""
    loader = ToyData.train_dataloader

    def slow(data):
        made = loader(data)
        collate = made.collate_fn
        made.collate_fn = lambda graphs: (time.sleep(0.02), collate(graphs))[1]
        return made

    monkeypatch.setattr(ToyData, "train_dataloader", slow)
    result, directory = fitted(tmp_path, callbacks={"step_timer": {"warmup_steps": 0}})
    assert 20 < result.times["time/data_ms"] < 40
    for row in table(directory):
        assert 3 * 0.02 / float(row["time/epoch_s"]) < float(row["time/data_share"]) < 1
    assert 0 < result.times["time/data_share"] < 1


def test_without_a_terminal_the_progress_is_about_twenty_lines(tmp_path: Path, capsys) -> None:
    fitted(tmp_path, trainer={"max_epochs": 41}, callbacks={"progress": {"style": "bar"}})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14
    assert re.match(r"epoch 41/41  loss [\d.]+  val MAE ", lines[-1])


def test_in_a_terminal_every_epoch_leaves_a_line_over_a_bar_with_step_and_loss(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.0)
    fitted(tmp_path, callbacks={"progress": {"style": "bar"}})
    shown = capsys.readouterr().out
    lines = re.findall(r"epoch (\d)/4  loss [\d.]+  val MAE [\d.]+ meV/atom, [\d.]+ meV/Å, [\d.]+ meV/Å³\n", shown)
    assert lines == ["1", "2", "3", "4"]
    assert re.search(r"epoch 4/4  step 3/3  loss [\d.]+ .*━{20}", shown)


def test_quiet_is_quiet(tmp_path: Path, capsys) -> None:
    fitted(tmp_path)
    assert capsys.readouterr().out == ""


def test_sigterm_does_during_a_fit_what_it_did_before(tmp_path: Path, monkeypatch) -> None:
    """Lightning sets a handler of its own."""
    seen = []

    class Look(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    with_extra_callback(monkeypatch, Look())
    fit(ToyPotential(), ToyData(), toy_job(trainer={"max_epochs": 1}), new_directory(tmp_path / "run"), [])
    assert set(seen) == {before}
    assert signal.getsignal(signal.SIGTERM) == before
