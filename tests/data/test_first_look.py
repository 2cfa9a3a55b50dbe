"""A first look at frames: what they are, what is odd, what to set, in tables and a figure."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from scalarpath.data.__main__ import main
from scalarpath.data.config import DataConfig
from scalarpath.data.first_look import first_look
from scalarpath.data.labelled import read_labelled


def labelled(atoms: Atoms, kind: str | None = None, labels: str = "energy forces stress") -> Atoms:
    every = {"energy": -1.0 * len(atoms), "forces": np.full((len(atoms), 3), 0.1), "stress": np.full(6, 1e-3)}
    atoms.calc = SinglePointCalculator(atoms, **{name: every[name] for name in labels.split()})
    if kind is not None:
        atoms.info["config_type"] = kind
    return atoms


def salt(size: int, a: float = 4.0, kind: str | None = None) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=a, cubic=True).repeat((size, 1, 1))
    atoms.rattle(0.01, seed=size)
    return labelled(atoms, kind)


def look_at(path: str, cutoff: float = 4.5):
    config = DataConfig.read({"path": path, "on_suspicious": "warn", "cache": False})
    loaded, labels, _ = read_labelled(config)
    return first_look(loaded.frames, labels, cutoff)


def test_what_the_frames_are(write):
    look = look_at(write([salt(1), salt(2, kind="long"), salt(1, a=4.4, kind="wide")]))
    assert (look.frames, dict(look.atoms)) == (3, {"Na": 16, "Cl": 16})
    assert dict(look.kinds) == {"long": 1, "wide": 1}
    np.testing.assert_allclose(look.volumes, [8.0, 8.0, 4.4**3 / 8])
    assert len(look.forces) == 32
    assert set(look.closest) == {"Na-Cl", "Na-Na", "Cl-Cl"}
    distance, where = look.closest["Na-Cl"]
    assert distance == pytest.approx(2.0, abs=0.1)
    assert "frame " in where
    assert all(values.max() <= 4.5 for values in look.distances.values())


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([salt(1), salt(1, a=4.2)], {"data.e0s": "mean"}),
        ([salt(1), labelled(bulk("NaCl", "rocksalt", a=4.0)[:1] * (2, 2, 2))], {}),
        ([salt(1, kind="a"), salt(1, a=4.1, kind="b")], {"data.e0s": "mean", "data.stratify_key": "config_type"}),
        ([salt(1, kind="a"), salt(1, a=4.1, kind="b"), salt(1, a=4.2)], {"data.e0s": "mean"}),
        ([labelled(bulk("Cu", cubic=True)), labelled(bulk("Cu", a=3.7, cubic=True))], {}),
        ([labelled(bulk("Cu"), labels="energy forces")], {"loss.stress": "0"}),
        ([labelled(bulk("Cu"), labels="energy"), labelled(bulk("Cu"), labels="forces")], {"loss.stress": "0"}),
        ([labelled(bulk("Cu"), labels="stress")], {"loss.energy": "0", "loss.forces": "0"}),
    ],
)
def test_only_what_the_frames_call_for_is_set(write, frames, expected):
    assert look_at(write(frames)).settings() == expected


def test_frames_of_very_different_sizes_are_counted_in_edges(write):
    look = look_at(write([salt(1), salt(1, a=4.1), salt(8)]))
    assert int(look.settings()["data.max_edges"]) >= look.edges.max()


def test_atoms_that_are_very_near_are_named_with_their_frame(write):
    assert not list(look_at(write([salt(1)])).notes())
    (note, *_) = look_at(write([salt(1), salt(1, a=2.0)])).notes()
    assert "frame 1: Na-" in note
    assert "units are Å" in note


def test_the_command_draws_and_says_how_to_train(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = [write([salt(1, kind="a")], "one.extxyz"), write([salt(1, a=4.1, kind="b")], "two.extxyz")]
    assert main(["look", *files, "on_suspicious=warn"]) == 0
    said = capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} >= {"one_first_look.svg", "one_first_look.png"}
    command = shlex.split(said.splitlines()[-1].partition(": ")[2])
    assert command[-5:] == [
        "data=extxyz", f"data.path=[{','.join(files)}]", "data.on_suspicious=warn", "data.e0s=mean",
        "data.stratify_key=config_type",
    ]  # fmt: skip
    assert main(["look", *files, "on_suspicious=warn", "e0s=least_squares"]) == 0, "its own figure is replaced"
    assert "data.e0s=mean" not in capsys.readouterr().out, "what was given stays"
    assert main(["look", "none.extxyz"]) == 2
    assert "none.extxyz" in capsys.readouterr().err


def test_frames_without_any_label_are_shown_and_no_training_is_proposed(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["look", write([bulk("Cu")])]) == 0
    said = capsys.readouterr().out
    assert "No frame carries a label" in said
    assert "Train on them" not in said


def test_figures_of_others_are_refused_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "absent_first_look.svg").write_text("<svg/>")
    (tmp_path / "report.png").write_bytes(b"mine")
    for name, figure in {"absent_first_look.svg": [], "report.png": ["--figure", "report.html"]}.items():
        assert main(["look", "absent.extxyz", *figure]) == 2
        assert f"error: --figure: {name} is there and was not written by this program" in capsys.readouterr().err


def test_the_folder_of_a_figure_is_made_and_one_that_cannot_be_is_refused(write, tmp_path, capsys):
    path = write([salt(1)])
    assert main(["look", path, "on_suspicious=warn", "--figure", f"{tmp_path}/new/look.svg"]) == 0
    assert (tmp_path / "new/look.png").is_file()
    assert main(["look", path, "--figure", f"{path}/look.svg"]) == 2
    assert f"error: --figure={path}/look.svg cannot be written: " in capsys.readouterr().err
