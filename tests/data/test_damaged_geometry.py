"""Damaged numbers of a file's structures: each ends in one sentence with file and frame."""

import re
from pathlib import Path

import numpy as np
import pytest

from scalarpath.core.errors import DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.labelled import check, stop_if_suspicious
from scalarpath.data.labelled import read_labelled as read

CELL = 'Lattice="5.43 0.0 0.0 0.0 5.43 0.0 0.0 0.0 5.43"'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (CELL, CELL.replace("5.43 0.0 0.0 0.0", "543 0.0 0.0 0.0", 1), r"has 1\.601e\+04 Å\^3 .*, 100 times .*repair"),
        (CELL, 'Lattice="5.43 0.0 0.0 0.0 5.43 0.0 5.43 5.43 0.01"', r"only 0\.01 Å high along a .*repair the cell"),
        (CELL, CELL.replace("5.43", "1e308", 1), "repair|cell"),
        ("forces:R:3", "forces:L:3", r"'forces' is declared as logical \(L\) instead of real \(R\)"),
        ("pos:R:3", "pos:L:3", r"'pos' is declared as logical"),
        (r"energy=\S+", "energy=T", r"energy label 'energy' is true or false"),
        (r"(?m)^Si +\S+", "Si 1e308", r"atom 0 lies 1e\+308 Å from the origin, .*wrap it"),
    ],
)
def test_a_damaged_number_names_file_and_frame(write, make_silicon, old, new, message):
    blocks = re.split(r"(?m)^(?=8$)", Path(write(make_silicon(8))).read_text())[1:]
    pattern = old if "\\" in old else re.escape(old)
    damaged = re.sub(pattern, lambda _: new, blocks[3], count=1)
    assert damaged != blocks[3]
    path = write("".join([*blocks[:3], damaged, *blocks[4:]]), "bad.extxyz")
    config = DataConfig.read({"path": path})
    with pytest.raises(DataError, match=rf"bad\.extxyz, frame 3: .*(?:{message})"):
        stop_if_suspicious(check(config, 5.0), config)


def test_volumes_that_differ_on_purpose_are_no_damage(write, make_silicon):
    frames = make_silicon(10)
    for k, atoms in enumerate(frames):
        atoms.set_cell(atoms.cell * (1 + 0.1 * k), scale_atoms=True)  # the largest has seven times the volume
    assert read(DataConfig.read({"path": write(frames)})).audit.suspicions == []
    for atoms in frames[:5]:
        atoms.set_cell(atoms.cell * 3, scale_atoms=True)
    assert read(DataConfig.read({"path": write(frames)})).audit.suspicions == []


def test_a_damaged_cell_is_said_before_what_follows_from_it(write, make_silicon):
    frames = make_silicon(10)
    for atoms in frames:
        atoms.calc.results["stress"] = np.full(6, 0.1)
    frames[3].cell[0] *= 100.0
    first, second = read(DataConfig.read({"path": write(frames)})).audit.suspicions
    assert "frame 3: the cell has" in first
    assert "frame 3: a stress of 0.1 eV/Å^3" in second
    assert "remove or repair this frame" in second, "one frame of ten is no unit"
