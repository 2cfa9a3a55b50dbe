"""What the tested weights do is kept in the run: errors by group, predictions of the test frames, figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read
from composed_jobs import SMOKE, job, run
from rich.console import Console
from samples import batch_of, make_potential, quartz_like, silanol

from scalarpath.core.metrics import TEST
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import StreamedLabels
from scalarpath.data.reading import read_frames
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.training.learning_curves import draw_learning_curves
from scalarpath.training.parity import ParitySample, draw_parity
from scalarpath.training.record import Record, groups_table

FIGURES = {f"{name}.{suffix}" for name in ("parity", "learning_curves") for suffix in ("svg", "png")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("record") / "run"
    run(job(*SMOKE, "data=lif", "figures=true", f"output_dir={path}"))
    return path


def test_errors_by_group_add_up_to_those_of_the_summary(trained: Path) -> None:
    errors, summary = (json.loads((trained / name).read_text()) for name in ("errors.json", "summary.json"))
    assert set(errors) == {"train_frames", "valid_frames", "test"}
    for part, results in errors.items():
        for name, value in results["all"].items():
            assert value == pytest.approx(summary[f"{part}/{name}"]), (part, name)
        assert set(results["element"]) == {"Li", "F"}
        for groups in (results["element"], results["config_type"]):
            labels = [metrics["forces_labels"] for metrics in groups.values()]
            mean = np.average([metrics["forces_mae_meV_A"] for metrics in groups.values()], weights=labels)
            assert mean == pytest.approx(results["all"]["forces_mae_meV_A"])


def test_without_any_label_there_is_no_figure(tmp_path: Path) -> None:
    draw_parity({"train": ParitySample(), TEST: ParitySample()}, tmp_path / "parity")
    assert not list(tmp_path.iterdir())


def test_predictions_of_test_frames_are_those_of_the_calculator_beside_the_labels(trained: Path) -> None:
    frames = read(trained / "test_predictions.extxyz", ":")
    splits = json.loads((trained / "splits.json").read_text())
    assert [atoms.info["frame"] for atoms in frames] == splits["test"]
    with (trained / "test_frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    for atoms, row in zip(frames, rows, strict=True):
        label = atoms.get_forces()
        error = np.abs(atoms.arrays["scalarpath_forces"] - label).mean()
        assert 1e3 * error == pytest.approx(float(row["forces_mae_meV_A"]), rel=1e-4)
        difference = (atoms.info["scalarpath_energy"] - atoms.get_potential_energy()) / len(atoms)
        assert 1e3 * difference == pytest.approx(float(row["energy_error_meV_atom"]), rel=1e-3, abs=1e-3)
        assert atoms.info["config_type"]
    atoms = frames[0].copy()
    atoms.calc = ScalarPathCalculator(trained)
    np.testing.assert_allclose(atoms.get_forces(), atoms.arrays["scalarpath_forces"], atol=1e-5)
    theirs = np.reshape(atoms.info["scalarpath_stress"], (3, 3))
    np.testing.assert_allclose(atoms.get_stress(voigt=False), theirs, atol=1e-6)


MISSING = [(), ("energy",), ("forces",), ("stress",), ("energy", "forces", "stress")]


@pytest.mark.filterwarnings("error")
def test_a_label_that_is_missing_is_left_out_as_a_whole_and_the_others_are_read_again(tmp_path: Path) -> None:
    batch = batch_of(*(quartz_like() for _ in MISSING), silanol())
    batch.frame, noise = torch.arange(len(MISSING) + 1), torch.Generator().manual_seed(0)
    for name, shape in {"energy": (6,), "forces": batch.pos.shape, "stress": (6, 3, 3)}.items():
        setattr(batch, name, torch.randn(*shape, generator=noise, dtype=torch.float64))
    batch.stress += batch.stress.mT.clone()
    batch.stress[5] = torch.nan  # of a molecule
    batch.forces[0, 1] = torch.nan  # of one atom alone, which is missing beside those that are there
    for number, names in enumerate(MISSING):
        own = {"energy": number, "forces": batch.batch == number, "stress": number}
        for name in names:
            getattr(batch, name)[own[name]] = torch.nan
    with (tmp_path / "frames.extxyz").open("w") as stream:
        Record([None] * 6, stream).update(TEST, make_potential("baseline")(batch), batch)
    labels = StreamedLabels(DataConfig.read({"path": "frames.extxyz"}))
    frames = list(read_frames(tmp_path / "frames.extxyz"))
    for number, (frame, names) in enumerate(zip(frames, [*MISSING, ("stress",)], strict=True)):
        assert set(frame.atoms.calc.results if frame.atoms.calc else ()) == {"energy", "forces", "stress"} - set(names)
        found = labels.of(frame)
        for name, where in {"energy": number, "forces": batch.batch == number, "stress": number}.items():
            np.testing.assert_allclose(found.of(name), getattr(batch, name)[where], atol=1e-7, err_msg=name)


def test_figures_are_there_unless_they_are_not_wanted(trained: Path, tmp_path: Path) -> None:
    assert {file.name for file in trained.iterdir()} >= FIGURES
    run(job(*SMOKE, "trainer.max_epochs=1", "evaluate_test=false", f"output_dir={tmp_path / 'run'}"))
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert not names & FIGURES
    assert "errors.json" in names
    assert "test_predictions.extxyz" not in names, "the test part is closed"
    assert "test" not in json.loads((tmp_path / "run/errors.json").read_text())


def test_one_table_shows_train_validation_and_test_of_every_group(capsys) -> None:
    metrics = [{"forces_mae_meV_A": value} for value in (1.0, 2.0, 30.25)]
    errors = {
        part: {"all": one, "element": {"Si": one, "O": one}, "config_type": {"hot": one}}
        for part, one in zip(("train_frames", "valid_frames", "test"), metrics, strict=True)
    }
    Console(width=80).print(groups_table(errors))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "30.2" in line] == ["O", "Si", "hot"]
    alone = {"test": {"all": metrics[0], "element": {"Si": metrics[0]}, "config_type": {"hot": metrics[0]}}}
    assert groups_table(alone) is None, "one group says nothing new"


def test_learning_curves_of_a_training_without_stress_have_no_panel_of_it(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    table.write_text("epoch,lr,train/loss,val/loss,val/forces_mae_meV_A\n1,0.1,2.0,1.0,30\n2,0.1,1.0,,20\n")
    draw_learning_curves(table, tmp_path / "curves")
    text = (tmp_path / "curves.svg").read_text()
    assert "forces, MAE" in text
    assert "stress" not in text
