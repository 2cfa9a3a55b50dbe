"""``python -m scalarpath.data check``: the audit of files without a training."""

import subprocess
import sys

import numpy as np
import pytest

from scalarpath.data.__main__ import main


def test_the_audit_of_files_is_printed(write, make_silicon, capsys):
    frames = make_silicon(5)
    for atoms in frames:
        atoms.info |= {"E_dft": atoms.calc.results.pop("energy"), "S_dft": atoms.calc.results.pop("stress")}
    paths = [write(frames[:2], "a.extxyz"), write(frames[2:], "b=1.extxyz")]
    settings = ["energy_key=E_dft", "stress_key=S_dft", "data.stress_order=vasp", "backbone.cutoff=4"]
    assert main(["check", *paths, *settings]) == 0
    shown = capsys.readouterr().out
    assert "Labels of 5 frames, 40 atoms" in shown
    assert "E_dft" in shown
    assert "xx yy zz xy yz zx" in shown


def test_a_pattern_and_what_is_suspicious_end_with_status_2_after_the_table(write, make_silicon, capsys):
    frames = make_silicon(5)
    for atoms in frames:
        atoms.calc.results["stress"] *= 1600.0
    path = write(frames)
    assert main(["check", path.replace("frames", "fr*")]) == 2
    shown = capsys.readouterr()
    assert "Labels of 5 frames" in shown.out
    assert shown.err.startswith(f"error: {path}: the median stress is")
    assert main(["check", path, "on_suspicious=warn"]) == 0


@pytest.mark.parametrize(
    ("edit", "more", "message"),
    [
        (lambda frame: None, ["backbone.cutoff=abc"], "backbone.cutoff must be a number, not 'abc'"),
        (lambda frame: None, ["energy_kye=a"], "data has no setting 'energy_kye' (did you mean 'energy_key'?)"),
        (lambda frame: frame.positions.__setitem__((0, 0), 1e308), [], "frames.extxyz, frame 2: atom 0 lies 1e+308 Å"),
        (lambda frame: frame.calc.results.update(energy=np.nan), [], "frames.extxyz, frame 2: NaN label in 'energy'"),
    ],
)
def test_errors_are_one_sentence(write, make_silicon, capsys, edit, more, message):
    frames = make_silicon(3)
    edit(frames[2])
    assert main(["check", write(frames), *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "look"])
def test_a_stress_without_meaning_stops_as_in_a_training_that_weighs_stress(
    write, make_silicon, tmp_path, monkeypatch, capsys, command
):
    monkeypatch.chdir(tmp_path)
    frames = make_silicon(3)
    frames[1].pbc = (True, True, False)
    path = write(frames)
    assert main([command, path, "on_suspicious=warn"]) == 2
    assert "frame 1: the loss weighs stress but the frame is not periodic" in capsys.readouterr().err
    assert main([command, path, "on_suspicious=warn", "loss.stress=0"]) == 0
    assert "it is ignored" in " ".join(capsys.readouterr().out.split())
    for atoms in frames:
        atoms.pbc = False
    assert main([command, write(frames), "on_suspicious=warn"]) == 0, "no stress is left that could be weighed"


def test_no_lightning_is_imported():
    heavy = ("pytorch_lightning", "torch_geometric")
    code = f"import scalarpath.data.__main__, sys; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
