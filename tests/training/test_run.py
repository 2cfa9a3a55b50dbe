"""The whole job on bundled silicon, with the real potential."""

from __future__ import annotations

import csv
import json
import shlex
import signal
from pathlib import Path

import pytest
import torch
from composed_jobs import SMOKE, job, run
from interrupted_training import TIMES, CutOffAt, CutOffError, assert_same, with_extra_callback
from rich.console import Console

from scalarpath.core import termination
from scalarpath.core.errors import CheckpointError, ConfigError, DataError
from scalarpath.potential import load_potential
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.evaluation import evaluate
from scalarpath.training.summary import error_table, print_summary


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    run(job(*SMOKE, "head=panpgs", f"output_dir={path}"))
    return path


def test_a_run_directory_is_complete(finished: Path) -> None:
    for name in (
        "config.yaml", "provenance.json", "splits.json", "label_audit.json", "statistics.json", "metrics.csv",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "status.json", "summary.json",
    ):  # fmt: skip
        assert (finished / name).stat().st_size > 0, name
    splits = json.loads((finished / "splits.json").read_text())
    assert {name: len(frames) for name, frames in splits.items()} == {"train": 10, "valid": 4, "test": 4}
    provenance = json.loads((finished / "provenance.json").read_text())
    assert provenance["versions"]["torch"] == torch.__version__
    assert str(finished) not in (finished / "provenance.json").read_text()


def test_the_summary_holds_test_errors_sizes_times_and_hashes(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    for prop, unit in (("energy", "meV_atom"), ("forces", "meV_A"), ("stress", "meV_A3")):
        for statistic in ("mae", "rmse"):
            assert summary[f"test/{prop}_{statistic}_{unit}"] > 0
            assert summary[f"trivial/{prop}_{statistic}_{unit}"] > 0
    assert summary["test/energy_labels"] == 4
    assert summary["parameters/total"] == summary["parameters/backbone"] + summary["parameters/head"]
    assert summary["parameters/head"] > 0
    assert (summary["head"], summary["epochs"], summary["stopped_by"]) == ("panpgs", 2, "max_epochs")
    assert summary["time/wall_s"] > 0
    assert len(summary["hash/data"]) == len(summary["hash/config"]) == 64


def test_a_run_ends_with_its_errors_its_place_and_the_command_that_goes_on(finished: Path, monkeypatch, capsys) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    times = {"overhead/train_ratio": 1.104, "overhead/train_ratio_low": 1.06, "overhead/train_ratio_high": 1.227}
    monkeypatch.setattr("sys.argv", ["./train.py"])
    print_summary(
        summary | times | {"overhead/flops_ratio": 1.0152}, RunDirectory(Path("out puts/a")), evaluate_test=True
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "Cost, ratio to baseline: training step 1.10 [1.06, 1.23], operations 1.015",
        "Finished: out puts/a (its numbers: summary.json)",
        "Go on with: python evaluate.py 'run=out puts/a'",
    ]
    print_summary(summary, RunDirectory(Path("a")), evaluate_test=True)
    assert "Cost" not in capsys.readouterr().out


@pytest.mark.parametrize(("data", "told"), [("ethanol", True), ("si", False)])
def test_who_puts_a_linear_potential_under_molecules_is_told_that_it_has_done_harm(
    data: str, told: bool, tmp_path: Path, capsys
) -> None:
    small = ["head.linear.pair=4", "head.linear.radial=0", "data.train_size=10"]
    run(job(*SMOKE, "head=linear", f"data={data}", *small, f"output_dir={tmp_path / 'run'}"))
    assert ("compare with head=baseline" in " ".join(capsys.readouterr().out.split())) == told


def test_baseline_is_not_timed_against_itself(tmp_path: Path) -> None:
    timed = [text for text in SMOKE if "overhead" not in text]
    summary = run(job(*timed, "trainer.max_epochs=1", f"output_dir={tmp_path / 'run'}"))
    assert not [key for key in summary if key.startswith("overhead/")]
    assert summary["flops/inference"] > 0


def test_the_best_checkpoint_gives_the_test_errors_again(finished: Path) -> None:
    from scalarpath.data.datamodule import AtomicDataModule

    config = job(*SMOKE)
    data = AtomicDataModule(dict(config.data), cutoff=config.backbone.cutoff, seed=0)
    data.setup()
    summary = json.loads((finished / "summary.json").read_text())
    values = evaluate(load_potential(finished), data.in_order(data.test_graphs, batch_size=3))
    for name, value in values.items():
        assert summary[f"test/{name}"] == pytest.approx(value, rel=1e-4), name


def test_train_and_validation_errors_are_those_of_the_tested_weights(finished: Path) -> None:
    from scalarpath.data.datamodule import AtomicDataModule

    config = job(*SMOKE)
    data = AtomicDataModule(dict(config.data), cutoff=config.backbone.cutoff, seed=0)
    data.setup()
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["train_frames/evaluated"] == summary["train_frames/energy_labels"] == 10
    for part, graphs in (("train_frames", data.train_graphs), ("valid_frames", data.valid_graphs)):
        values = evaluate(load_potential(finished), data.in_order(graphs, batch_size=3))
        assert len(values) == 9
        for name, value in values.items():
            assert summary[f"{part}/{name}"] == pytest.approx(value, rel=1e-4), name
    with (finished / "metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[summary["best_epoch"] - 1]
    for name in ("forces_mae_meV_A", "energy_rmse_meV_atom"):
        assert summary[f"valid_frames/{name}"] == pytest.approx(float(row[f"val/{name}"]), rel=1e-5)


def test_how_many_train_frames_are_evaluated_changes_no_other_number(finished: Path, tmp_path: Path) -> None:
    summary = run(job(*SMOKE, "head=panpgs", "evaluate_train_frames=3", f"output_dir={tmp_path}/run"))
    expected = json.loads((finished / "summary.json").read_text())
    assert summary["train_frames/evaluated"] == summary["train_frames/energy_labels"] == 3
    assert summary["train_frames/forces_mae_meV_A"] != expected["train_frames/forces_mae_meV_A"]
    others = [key for key in expected if not key.startswith(("train_frames/", "time/"))]
    assert {key: summary[key] for key in others} == {key: expected[key] for key in others}


def test_a_run_ends_with_train_validation_and_test_errors_side_by_side(finished: Path, capsys) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    parts = ("train_frames", "valid_frames", "test")
    # a training may have gone wrong: numbers of any size stay whole in a narrow terminal
    summary |= {f"{part}/forces_mae_meV_A": v for part, v in zip(parts, (15.8249, 4321.98, 372104.3), strict=True)}
    forces = ["15.82", "4322", "372104"]
    Console(width=80).print(error_table(summary))
    shown = capsys.readouterr().out
    (row,) = [line for line in shown.splitlines() if "forces" in line]
    assert row.split("│")[3:6] == [f" {value.rjust(5)} " for value in forces]
    assert "train: 10 train frames" in shown
    old = {key: value for key, value in summary.items() if not key.startswith(("train_frames/", "valid_frames/"))}
    Console(width=80).print(error_table(old))
    shown = capsys.readouterr().out
    assert "train" not in shown
    assert forces[2] in shown


def test_a_finished_run_is_neither_overwritten_nor_resumed(finished: Path) -> None:
    before = (finished / "summary.json").read_bytes()
    with pytest.raises(ConfigError, match="holds a finished run"):
        run(job(*SMOKE, f"output_dir={finished}"))
    with pytest.raises(CheckpointError, match="this run is finished"):
        run(job(f"resume={finished}"))
    assert (finished / "summary.json").read_bytes() == before


def test_a_cut_off_run_resumes_with_its_own_settings_to_the_same_weights(
    finished: Path, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "cut"
    with monkeypatch.context() as patch:
        with_extra_callback(patch, CutOffAt(1))
        with pytest.raises(CutOffError):
            run(job(*SMOKE, "head=panpgs", f"output_dir={path}"))
    assert json.loads((path / "status.json").read_text())["state"] == "failed"
    assert not (path / "summary.json").exists()

    summary = run(job(f"resume={path}"))
    expected = json.loads((finished / "summary.json").read_text())
    varies = {*TIMES, "time/wall_s", "time/timed_steps", "hash/config"}
    assert {k: v for k, v in summary.items() if k not in varies} == {
        k: v for k, v in expected.items() if k not in varies
    }
    assert summary["hash/config"] == expected["hash/config"]
    checkpoints = [torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True) for run_dir in (path, finished)]
    for key in ("state_dict", "potential", "optimizer_states", "callbacks"):
        assert_same(*(c[key] for c in checkpoints), where=key)


@pytest.fixture
def ending_signals():
    """Handlers as the command line sets them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *termination._ENDING)}
    termination.end_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_an_interrupt_keeps_the_run_for_resuming_and_is_passed_on(
    tmp_path: Path, monkeypatch, capsys, ending_signals: None, number: signal.Signals, name: str
) -> None:
    class Interrupt(CutOffAt):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if trainer.current_epoch == self.epoch:
                signal.raise_signal(number)

    with_extra_callback(monkeypatch, Interrupt(1))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        run(job(*SMOKE, f"output_dir={tmp_path / 'a run'}"))
    assert termination.name_of(interrupt.value) == name
    assert termination.exit_status(interrupt.value) == 128 + number
    assert signal.getsignal(signal.SIGINT) is before
    status = json.loads((tmp_path / "a run" / "status.json").read_text())
    assert (status["state"], status["error"]) == ("interrupted", name)
    resume = shlex.split(capsys.readouterr().err.split("Go on with: ")[1])
    monkeypatch.undo()
    assert resume[:2] == ["python", "train.py"]
    assert run(job(*resume[2:]))["epochs"] == 2


def test_a_monitored_metric_needs_labels_in_the_validation_part(tmp_path: Path, monkeypatch) -> None:
    """Ethanol has no stress: found before the first step, and no directory is left behind."""
    monkeypatch.setattr("scalarpath.training.run.fit", lambda *_, **__: pytest.fail("training began"))
    monitor = "callbacks.checkpoint.monitor=val/stress_mae_meV_A3"
    with pytest.raises(ConfigError, match=r"monitor = 'val/stress_mae_meV_A3' .* no validation frame has a label of"):
        run(job(*SMOKE, "data=ethanol", monitor, f"output_dir={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()


def test_changed_data_are_noticed_on_resuming(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "cut"
    with monkeypatch.context() as patch:
        with_extra_callback(patch, CutOffAt(1))
        with pytest.raises(CutOffError):
            run(job(*SMOKE, f"output_dir={path}"))
    provenance = json.loads((path / "provenance.json").read_text())
    (path / "provenance.json").write_text(json.dumps({**provenance, "data_hash": "0" * 64}))
    with pytest.raises(DataError, match="the data have changed"):
        run(job(f"resume={path}"))


def test_baseline_and_panpgs_begin_from_the_same_energies(tmp_path: Path) -> None:
    """With the learning rate next to nothing both arms keep their common start, so their test errors agree."""
    frozen = ("optimizer.lr=1e-30", "optimizer.weight_decay=0", "trainer.max_epochs=1")
    base, arm = (
        run(job(*SMOKE, *frozen, f"head={head}", f"output_dir={tmp_path / head}")) for head in ("baseline", "panpgs")
    )
    for key in base:
        if key.startswith("test/"):
            assert base[key] == arm[key], key
