"""Bad input: every case ends in one clear sentence, a non-zero exit status and no run directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from command_line import ROOT

from scalarpath.cli import train

LABELS = {"energy": -40.0, "forces": np.full((8, 3), 0.1) * np.array([[1], [-1]] * 4), "stress": np.full(6, -0.01)}


def labelled(seed: int = 0, atoms: Atoms | None = None, **changes) -> Atoms:
    """A rattled Si cell with labels; a label given as None is left out."""
    atoms = bulk("Si", a=5.43, cubic=True) if atoms is None else atoms
    atoms.rattle(0.05, seed=seed)
    labels = {**LABELS, "energy": -40.0 - seed, **changes}
    if len(atoms) != 8 and "forces" not in changes:
        labels["forces"] = np.zeros((len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, **{key: value for key, value in labels.items() if value is not None})
    return atoms


def frames(n: int = 12, **changes) -> list[Atoms]:
    return [labelled(seed, **changes) for seed in range(n)]


def saved(directory: Path, images: list[Atoms], name: str = "frames.extxyz") -> Path:
    write(directory / name, images, format="extxyz")
    return directory / name


def from_frames(make: Callable[[], list[Atoms]], *more: str) -> Callable[[Path], list[str]]:
    """Command line for frames written to a file."""
    return lambda directory: [f"data.path={saved(directory, make())}", *more]


def from_text(edit: Callable[[str], str], *more: str) -> Callable[[Path], list[str]]:
    """Command line for a file whose text has been tampered with."""

    def case(directory: Path) -> list[str]:
        file = saved(directory, frames())
        file.write_text(edit(file.read_text()))
        return [f"data.path={file}", *more]

    return case


def with_arrays(name: str, value: np.ndarray) -> list[Atoms]:
    images = frames(stress=None)
    images[3].info[name] = value
    for image in images:
        image.info.setdefault(name, np.zeros(6))
    return images


def unknown_element(directory: Path) -> list[str]:
    germanium = labelled(99, bulk("Ge", a=5.6, cubic=True))
    return [f"data.path={saved(directory, frames())}", f"data.test_path={saved(directory, [germanium], 'test.extxyz')}"]


def charged_slab_in_test(directory: Path) -> list[str]:
    slab = labelled(99, stress=None)
    slab.pbc = (True, True, False)
    test = saved(directory, [*frames()[:2], slab], "test.extxyz")
    return [f"data.path={saved(directory, frames()[2:])}", f"data.test_path={test}", "head=ionic"]


def unwritable(directory: Path) -> list[str]:
    (directory / "file").write_text("in the way")
    return [f"data.path={saved(directory, frames())}", f"output_dir={directory}/file/run"]


def repeated_in_test(directory: Path) -> list[str]:
    images = frames()
    return [f"data.path={saved(directory, images)}", f"data.test_path={saved(directory, images[:2], 'test.extxyz')}"]


def periodic_without_cell() -> list[Atoms]:
    images = frames(stress=None)
    images[2].cell = np.zeros((3, 3))
    return images


GOOD = from_frames(frames)
CASES: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no file given": (lambda d: [], "data.path"),
    "file that does not exist": (lambda d: [f"data.path={d}/nothing.extxyz"], "nothing.extxyz"),
    "empty file": (from_text(lambda text: ""), "frames.extxyz"),
    "truncated frame": (from_text(lambda text: text[: len(text) - 300]), "frames.extxyz"),
    "not a number": (from_text(lambda text: text.replace("energy=-43.0", "energy=nan")), "frame 3"),
    "text where a number belongs": (from_text(lambda text: text.replace("Si  ", "Si x", 1)), "frames.extxyz"),
    "no energies": (from_frames(lambda: frames(energy=None)), "energy"),
    "no forces": (from_frames(lambda: frames(forces=None)), "forces"),
    "no stress, but a loss on it": (from_frames(lambda: frames(stress=None)), "stress"),
    "named key that is not there": (from_frames(frames, "data.energy_key=E_dft"), "E_dft"),
    "stress of a wrong shape": (from_frames(lambda: with_arrays("stress", np.zeros(5))), "stress"),
    "non-periodic frame with stress": (
        from_frames(
            lambda: [labelled(s, Atoms("Si8", np.random.default_rng(s).uniform(0, 9, (8, 3)))) for s in range(9)]
        ),
        "periodic",
    ),
    "periodic frame without cell": (from_frames(periodic_without_cell, "loss.stress=0"), "frame 2"),
    "atoms on top of each other": (
        from_frames(lambda: [*frames(), labelled(5, Atoms("Si8", np.zeros((8, 3)), cell=[5] * 3, pbc=True))]),
        "apart",
    ),
    "only isolated atoms": (
        from_frames(
            lambda: [labelled(s, Atoms("Si", cell=[30 + s] * 3, pbc=True)) for s in range(12)],
            "data.on_suspicious=warn",
        ),
        "neighbour",
    ),
    "unknown element at test time": (unknown_element, "Ge"),
    "charges in a slab at test time": (charged_slab_in_test, "test.extxyz, frame 2: head.linear.charges need"),
    "frame in train and test": (repeated_in_test, "test.extxyz"),
    "unknown unit": (from_frames(frames, "data.energy_unit=erg"), "erg"),
    "stress in GPa": (from_frames(lambda: frames(stress=np.full(6, -9.0))), "GPa"),
    "unknown data key": (from_frames(frames, "+data.colour=red"), "colour"),
    "unknown backbone key": (from_frames(frames, "+backbone.depth=3"), "depth"),
    "unknown head part": (from_frames(frames, "+head.parts.magic={}"), "magic"),
    "unknown trainer key": (from_frames(frames, "+trainer.speed=11"), "speed"),
    "cutoff of zero": (from_frames(frames, "backbone.cutoff=0"), "cutoff"),
    "negative batch size": (from_frames(frames, "data.batch_size=-1"), "batch_size"),
    "negative learning rate": (from_frames(frames, "optimizer.lr=-0.1"), "lr"),
    "no epochs": (from_frames(frames, "trainer.max_epochs=0"), "max_epochs"),
    "word for a number": (from_frames(frames, "optimizer.lr=fast"), "lr"),
    "all weights zero": (from_frames(frames, "loss.energy=0", "loss.forces=0", "loss.stress=0"), "loss"),
    "splits larger than the data": (from_frames(frames, "data.test_size=20"), "data.*_size"),
    "one frame": (from_frames(lambda: frames(1)), "frame"),
    "output directory that cannot be made": (unwritable, "file"),
    "resume of nothing": (lambda d: [f"resume={d}/no_run"], "no_run"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_ends_in_one_sentence(name, tmp_path, monkeypatch, capsys):
    make, expected = CASES[name]
    output = tmp_path / "run"
    arguments = make(tmp_path)
    if not arguments or not arguments[0].startswith("resume="):
        arguments = [
            "data=extxyz",
            *arguments,
            "trainer.max_epochs=1",
            "data.cache=false",
            "callbacks.progress.style=none",
        ]
        if not any(text.startswith("output_dir") for text in arguments):
            arguments.append(f"output_dir={output}")
        arguments = list({text.lstrip("+").split("=")[0]: text for text in reversed(arguments)}.values())
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as status:
        train()
    assert status.value.code not in (0, None)
    message = capsys.readouterr().err.strip()
    assert expected in message
    assert "Traceback" not in message
    assert message.startswith("error: "), message
    assert "\n" not in message, message
    assert not list(tmp_path.rglob("summary.json"))
    assert not output.exists(), os.listdir(output)


def test_the_same_command_line_with_good_input_trains(tmp_path, monkeypatch):
    arguments = [*GOOD(tmp_path), "trainer.max_epochs=1", "data.cache=false", f"output_dir={tmp_path / 'run'}"]
    monkeypatch.setattr(
        sys,
        "argv",
        ["train.py", "data=extxyz", *arguments, "data.on_suspicious=warn", "measure_overhead=false"],
    )
    train()
    assert (tmp_path / "run" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("backbone.correlation=9", "backbone.correlation must be at most 4, not 9"),
        ("backbone.max_L=1.0", "backbone.max_L must be a whole number"),
        ("+head.parts.node_gate.hidden=0", "head.parts.node_gate.hidden must be at least 1"),
        ("head=wide_param head.widen.quantity=layers", "head.widen.quantity must be one of parameters, flops"),
        ("head=wide_param head.widen.match.parts.edge_gate.hidden=0", "edge_gate.hidden must be at least 1"),
        ("backbone=nequip head=density", "head 'density' sets backbone.interaction_first"),
        ("backbone.pair_cutoffs={Xx:3.0}", "'Xx' is no chemical symbol"),
        ("backbone.pair_cutoffs={Si:{O:9.0}}", "pair_cutoffs.Si.O = 9.0 must lie in"),
        ("repulsion=born", "repulsion must be"),
        ("dtype=float16", "dtype must be one of"),
    ],
)
def test_settings_of_the_potential_are_refused_before_the_data_are_opened(
    setting, expected, tmp_path, monkeypatch, capsys
):
    no_frames = f"data.path={__file__}"
    arguments = ["data=extxyz", no_frames, f"output_dir={tmp_path / 'run'}", *setting.split()]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit):
        train()
    message = capsys.readouterr().err.strip()
    assert expected in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_a_reader_that_has_gone_ends_a_command_without_a_traceback() -> None:
    read, write_end = os.pipe()
    os.close(read)
    command = [sys.executable, str(ROOT / "train.py"), "--help"]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
