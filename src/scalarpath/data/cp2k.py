"""CP2K's pair of files: positions and energies in NAME-pos-1.xyz, forces in NAME-frc-1.xyz, the cell beside them.

Positions are Å, energies Ha, forces Ha/Bohr. The cell is in NAME-1.cell where it changes, else in NAME-1.restart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from scalarpath.core.errors import DataError
from scalarpath.core.units import ENERGY_TO_EV, FORCE_TO_EV_A
from scalarpath.data.extxyz import frame_texts

_NAME = re.compile(r"(?P<project>.+)-(?P<kind>pos|frc)-(?P<number>\d+)\.xyz")
_COMMENT = re.compile(r"\s*i\s*=\s*(?P<step>\d+)\b.*\bE\s*=\s*(?P<energy>[-+.\dEe]+)")
_VECTOR = re.compile(r"^\s*([ABC])((?:\s+[-+.\dEe]+){3})\s*$", re.MULTILINE)


def is_positions(path: Path) -> bool:
    """Whether ``path`` is the first file of a pair: by its name and its first comment line."""
    name = _NAME.fullmatch(path.name)
    if name is None or name["kind"] != "pos":
        return False
    with path.open(encoding="utf-8", errors="replace") as stream:
        stream.readline()
        return _COMMENT.match(stream.readline()) is not None


def is_forces(path: Path) -> bool:
    """Whether ``path`` is the second file of a pair, which is read with the first."""
    name = _NAME.fullmatch(path.name)
    return name is not None and name["kind"] == "frc"


def note(path: Path) -> str:
    """What is said to the user of a pair with the positions ``path``."""
    return (
        f"{path}: written by CP2K; energies (Ha, from its comment lines) and forces (Ha/Bohr, from "
        f"{_forces_file(path).name}) are converted to eV and eV/Å."
    )


def frames(path: Path) -> Iterator[Atoms]:
    """The frames of the pair with the positions ``path``, labels in eV and eV/Å in the calculator.

    Raises DataError where the forces or the cell are missing, ValueError for a frame that does not fit its forces.
    """
    forces = _forces_file(path)
    if not forces.is_file():
        raise DataError(f"{path}: CP2K's file with its forces, {forces.name}, is not beside it; copy it there.")
    cells, pbc = _cells(path)
    for positions, labels in zip_longest(frame_texts(path, str(path)), frame_texts(forces, str(forces))):
        if positions is None:
            return  # forces of a step whose positions were not written any more
        step, energy, symbols, xyz = _parsed(positions)
        if labels is None:
            raise ValueError(f"{forces.name} has no forces of step {step}")
        force_step, _, force_symbols, vectors = _parsed(labels)
        if step != force_step or symbols != force_symbols:
            raise ValueError(f"step {step} stands against step {force_step} of {forces.name}, or other atoms")
        cell = cells.get(step, cells.get(None))
        if cell is None:
            raise ValueError(f"the file of cells has no step {step}")
        atoms = Atoms(symbols, xyz, cell=cell, pbc=pbc)
        atoms.calc = SinglePointCalculator(
            atoms, energy=energy * ENERGY_TO_EV["Ha"], forces=vectors * FORCE_TO_EV_A["Ha/Bohr"]
        )
        yield atoms


def _parsed(text: str) -> tuple[int, float, list[str], np.ndarray]:
    """Step, energy, symbols and the three columns of a frame."""
    _, comment, *lines = text.splitlines()
    found = _COMMENT.match(comment)
    if found is None:
        raise ValueError(f"its comment line '{comment.strip()[:60]}' has no step i = and energy E =")
    rows = [line.split() for line in lines]
    return int(found["step"]), float(found["energy"]), [r[0] for r in rows], np.array([r[1:4] for r in rows], float)


def _forces_file(path: Path) -> Path:
    return path.with_name(_NAME.sub(r"\g<project>-frc-\g<number>.xyz", path.name))


def _cells(path: Path) -> tuple[dict[int | None, np.ndarray], list[bool]]:
    """The cell of every step (None: of all steps), and along which vectors it is periodic."""
    every, restart = (
        path.with_name(_NAME.sub(rf"\g<project>-\g<number>.{ending}", path.name)) for ending in ("cell", "restart")
    )
    try:
        if every.is_file():
            rows = np.loadtxt(every, ndmin=2)  # step, time, nine components, volume
            return {int(row[0]): row[2:11].reshape(3, 3) for row in rows}, [True] * 3
        if restart.is_file():
            section = (
                restart.read_text(encoding="utf-8", errors="replace").split("&CELL", 1)[1].split("&END CELL", 1)[0]
            )
            vectors = {name: np.array(numbers.split(), float) for name, numbers in _VECTOR.findall(section)}
            periodic = re.search(r"^\s*PERIODIC\s+(\w+)", section, re.MULTILINE)
            axes = "XYZ" if periodic is None else periodic[1].upper()
            return {None: np.stack([vectors[name] for name in "ABC"])}, [axis in axes.strip("NOE") for axis in "XYZ"]
    except (OSError, ValueError, LookupError) as error:
        file = every if every.is_file() else restart
        raise DataError(f"{file}: the cell cannot be read from it ({error!r}); copy the file again.") from error
    raise DataError(
        f"{path}: neither {every.name} nor {restart.name} is beside it, so the cell is not known; copy one there."
    )
