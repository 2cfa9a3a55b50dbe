"""``python -m scalarpath.labelling``: exit status and what a run says at its end."""

import os
import subprocess
import sys

import pytest
from ase.calculators.emt import EMT
from ase.io import read

from scalarpath.artifacts.stored_values import StoredValues, stored_values
from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.labelling import __main__ as command_line
from scalarpath.labelling.frames import stored_frame_list, unseen_frame_list


class EmtEngine:
    """Stands in for the plane-wave engine; fails for frame 1."""

    def __init__(self, crystal):
        pass

    def __call__(self, task, log):
        if task.info.get("frame") == 1:
            raise RuntimeError("SCF did not converge")
        return EMT()


@pytest.fixture
def emt_instead_of_dft(monkeypatch):
    monkeypatch.setattr(command_line, "PlaneWaveEngine", EmtEngine)
    monkeypatch.setattr(command_line, "load_engine", lambda name: None)


def test_label_is_resumable_and_names_the_frames_without_label(emt_instead_of_dft, quick_silver, tmp_path, capsys):
    stored_frame_list(quick_silver, tmp_path / "frames_inputs.extxyz")
    base = ["label", "--system", "ag", "--out", str(tmp_path)]
    assert command_line.main([*base, "--start", "2", "--stop", "4"]) == 0
    assert "2 labelled now, 0 before, 0 failed" in capsys.readouterr().out
    assert command_line.main([*base, "--stop", "3"]) == 1
    captured = capsys.readouterr()
    assert "1 labelled now, 1 before, 1 failed" in captured.out
    assert "no label for 1: RuntimeError: SCF did not converge" in captured.err
    assert [frame.info["frame"] for frame in read(tmp_path / "frames.extxyz", ":")] == [0, 2, 3]


def test_lists_of_frames_are_not_mixed_in_one_folder(emt_instead_of_dft, quick_silver, tmp_path, capsys):
    stored_frame_list(quick_silver, tmp_path / "unseen_inputs.extxyz", unseen_frame_list)
    base = ["label", "--system", "ag", "--out", str(tmp_path)]
    assert command_line.main([*base, "--frames", "unseen", "--start", "2", "--stop", "4"]) == 0
    assert [frame.info["frame"] for frame in read(tmp_path / "unseen.extxyz", ":")] == [2, 3]
    assert command_line.main(base) == 2
    assert "holds labels of --frames unseen; use another folder" in capsys.readouterr().err


def test_curves_write_one_file_per_curve(emt_instead_of_dft, tmp_path):
    options = ["--curve", "eos", "--out", str(tmp_path), "--processes", "2"]
    status = command_line.main(["curves", "--system", "ag", *options])
    assert status == 0
    labelled = read(tmp_path / "eos" / "eos.extxyz", ":")
    bundled = read(BUNDLED_DIR / "ag" / "eos.extxyz", ":")
    assert [frame.info["linear_scale"] for frame in labelled] == [frame.info["linear_scale"] for frame in bundled]


def test_pulay_measures_what_a_file_contains(capsys):
    assert command_line.main(["pulay", str(BUNDLED_DIR / "si" / "eos.extxyz")]) == 0
    assert abs(float(capsys.readouterr().out.split(":")[-1].split()[0])) < 2e-3


def test_processes_are_at_least_one(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        command_line.main(["label", "--system", "ag", "--out", str(tmp_path), "--processes", "0"])
    assert "not a positive number" in capsys.readouterr().err


def test_pulay_of_a_missing_file_is_one_sentence(tmp_path, capsys):
    assert command_line.main(["pulay", str(tmp_path / "none.extxyz")]) == 2
    assert "none.extxyz" in capsys.readouterr().err


FAKE_GPAW = """
from ase.calculators.emt import EMT

def PW(cutoff):
    return cutoff

def FermiDirac(width):
    return width

def GPAW(*, mode, kpts, occupations, txt, **settings):
    print(mode, len(kpts), occupations, file=open(txt, "w"))
    return EMT()
"""


def test_worker_processes_of_the_module_run_the_engine_with_the_settings_of_the_system(quick_silver, tmp_path):
    """As a user runs it: started with ``-m``, the worker processes must find the engine again."""
    (tmp_path / "gpaw.py").write_text(FAKE_GPAW)
    out = tmp_path / "out"
    stored_frame_list(quick_silver, out / "frames_inputs.extxyz")
    command = "-m scalarpath.labelling label --system ag --processes 2 --start 119 --stop 124 --out"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    result = subprocess.run(
        [sys.executable, *command.split(), str(out)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert [frame.info["frame"] for frame in read(out / "frames.extxyz", ":")] == [119, 120, 121, 122, 123]
    logs = [path.read_text().split() for path in sorted((out / "logs").iterdir())]
    assert logs == [["350.0", kpoints, "0.2"] for kpoints in ("64", "16", "16", "16", "16")]


def test_artifacts_writes_the_stored_values_that_come_with_the_package(tmp_path, capsys):
    options = ["--data", str(BUNDLED_DIR), "--out", str(tmp_path), "--material", "si", "--material", "ag"]
    assert command_line.main(["artifacts", *options]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "si.json"), str(tmp_path / "ag.json")]
    assert StoredValues.from_json((tmp_path / "ag.json").read_text()) == stored_values("ag")


@pytest.mark.parametrize(("option", "value"), [("--material", "gold"), ("--data", "nowhere")])
def test_artifacts_of_an_unknown_material_or_folder_is_one_sentence(option, value, tmp_path, capsys):
    options = {"--data": str(BUNDLED_DIR), "--out": str(tmp_path), "--material": "si"} | {option: value}
    assert command_line.main(["artifacts", *(word for pair in options.items() for word in pair)]) == 2
    assert value in capsys.readouterr().err
