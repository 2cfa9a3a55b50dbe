"""A potential as one file: whole, without the run, in old formats, and nothing else in its place."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from samples import make_potential, quartz_like, silanol

from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.models.export import run
from scalarpath.models.settings import ExportSettings
from scalarpath.potential import load_potential, model_facts, write_model

STORED = Path(__file__).parent / "stored"


def export(directory: Path, file: Path, licence: str | None = None):
    return run(ExportSettings(str(directory), str(file), "scalarpath", licence, []))


@pytest.fixture
def model(tmp_path) -> Path:
    write_model(tmp_path / "model.sp", make_potential("panpgs"), {"licence": "MIT"})
    return tmp_path / "model.sp"


def test_the_file_computes_as_the_run_and_needs_nothing_of_it(trained, tmp_path):
    export(trained, tmp_path / "model.sp")
    there = shutil.move(trained, trained.with_name("moved"))
    try:
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.1, seed=1)
        results = []
        for source in (tmp_path / "model.sp", there):
            atoms.calc = ScalarPathCalculator(source)
            results.append([atoms.get_potential_energy(), *atoms.get_forces().ravel(), *atoms.get_stress()])
        assert results[0] == results[1]
    finally:
        shutil.move(there, trained)
    assert [path.name for path in tmp_path.iterdir()] == ["model.sp"]


def test_the_file_says_what_is_to_be_known(trained, tmp_path):
    export(trained, tmp_path / "model.sp", "CC BY 4.0")
    facts, summary = model_facts(tmp_path / "model.sp"), json.loads((trained / "summary.json").read_text())
    assert (facts["elements"], facts["cutoff_A"], facts["licence"]) == (["Si"], 5.0, "CC BY 4.0")
    assert facts["units"] == {"length": "A", "energy": "eV", "forces": "eV/A", "stress": "eV/A^3"}
    assert facts["hash"] == {"data": summary["hash/data"], "config": summary["hash/config"]}
    assert facts["errors"]["test/forces_mae_meV_A"] == summary["test/forces_mae_meV_A"]
    assert facts["settings"]["backbone"]["kind"] == "mace"
    assert facts["trained"]["versions"]["torch"] == facts["exported"]["versions"]["torch"] == torch.__version__
    assert str(trained.parent) not in repr(facts)


def test_a_calculator_imports_nothing_of_a_training(model):
    code = f"from scalarpath.deploy import *; ScalarPathCalculator({str(model)!r}); import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    training = {"hydra", "pytorch_lightning", "wandb", "torchmetrics", "scalarpath.training", "scalarpath.runs"}
    assert not training & set(result.stdout.split())


@pytest.mark.parametrize("kind", ["mace", "nequip", "allegro"])
def test_files_of_format_1_are_read_with_the_same_energies(kind):
    """These files were written in November 2026; they stay as they are, and must be read for ever."""
    calculator = ScalarPathCalculator(STORED / f"format1_{kind}.sp", dtype="float64")
    assert model_facts(STORED / f"format1_{kind}.sp")["licence"] == "MIT"
    expected = json.loads((STORED / "format1.json").read_text())[kind]
    for atoms, energy, force in zip((quartz_like(), silanol()), expected["energy"], expected["force"], strict=True):
        assert calculator.get_potential_energy(atoms) == pytest.approx(energy, rel=1e-10)
        np.testing.assert_allclose(calculator.get_forces(atoms)[0], force, rtol=1e-8, atol=1e-8)


def test_nothing_is_replaced_or_half_written(trained, tmp_path, monkeypatch):
    file = tmp_path / "model.sp"
    file.write_text("somebody's")
    with pytest.raises(ConfigError, match=r"file=.*model.sp is there already; choose another name, or remove it"):
        export(trained, file)
    assert file.read_text() == "somebody's"
    file.unlink()

    def full(content, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        export(trained, file)
    assert not list(tmp_path.iterdir())


def test_only_a_finished_and_sound_run_is_exported(trained, tmp_path):
    with pytest.raises(CheckpointError, match="there is no run in this directory"):
        export(tmp_path, tmp_path / "out" / "model.sp")
    copy = Path(shutil.copytree(trained, tmp_path / "run"))
    (copy / "checkpoints" / "best.ckpt").write_bytes((copy / "checkpoints" / "last.ckpt").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"best.ckpt has changed since the run was finished; restore the file"):
        export(copy, tmp_path / "out" / "model.sp")
    assert not (tmp_path / "out" / "model.sp").exists()


def test_damaged_and_foreign_files_are_one_sentence_with_a_fix(model, tmp_path):
    whole = model.read_bytes()
    damaged = bytearray(whole)
    with zipfile.ZipFile(model) as archive:
        damaged[max(archive.infolist(), key=lambda entry: entry.file_size).header_offset + 200] ^= 1
    trace = tmp_path / "trace"
    foreign = {
        "half.sp": (whole[: len(whole) // 2], "is damaged or no checkpoint .*copy the file again"),
        "flipped.sp": (bytes(damaged), "is damaged: .*copy the file again"),
        "empty.sp": (b"", "is damaged or no checkpoint"),
        "text.sp": (b"3\n\nH 0 0 0\n", "is damaged or no checkpoint .*, or give a checkpoint, a run directory"),
        "pickle.sp": (pickle.dumps(_Touches(trace)), "is damaged or no checkpoint"),
    }
    for name, (content, message) in foreign.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{name} {message}"):
            ScalarPathCalculator(tmp_path / name)
    torch.save({"model": _Touches(trace)}, tmp_path / "theirs.sp")
    for read in (load_potential, model_facts):
        with pytest.raises(CheckpointError, match=r"theirs.sp is damaged or no checkpoint of scalarpath \(Unpickling"):
            read(tmp_path / "theirs.sp")
    assert not trace.exists()
    with pytest.raises(
        CheckpointError, match=r"nowhere.sp does not exist; give a checkpoint, a run directory, or a file"
    ):
        load_potential(tmp_path / "nowhere.sp")


def test_a_file_of_a_later_version_is_refused_by_name(model, tmp_path):
    content = torch.load(model, weights_only=True)
    torch.save({**content, "model_format": 2}, tmp_path / "later.sp")
    for read in (load_potential, model_facts):
        with pytest.raises(CheckpointError, match=r"later.sp has file format 2; this version reads 1: install"):
            read(tmp_path / "later.sp")


@pytest.mark.parametrize("state", [3, {}, {1: torch.zeros(2)}, {"e0": 3}, {"e0": torch.zeros(7)}])
def test_weights_that_do_not_fit_are_the_files_fault(model, tmp_path, state):
    content = torch.load(model, weights_only=True)
    content["potential"]["state_dict"] = state
    torch.save(content, tmp_path / "odd.sp")
    with pytest.raises(CheckpointError, match=r"odd.sp does not fit its own configuration: .*; copy the file again"):
        load_potential(tmp_path / "odd.sp")


class _Touches:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)
