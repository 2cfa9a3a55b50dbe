"""Structures in an instance of LAMMPS, and what it computes, compared with ASE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io.lammpsdata import write_lammps_data
from samples import quartz_like

ELEMENTS = ["O", "Si"]
EV_A3_TO_BAR = 1602176.5  # as LAMMPS has it


def crystal() -> Atoms:
    """Triclinic, in the orientation that LAMMPS asks for."""
    atoms = quartz_like()
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    return atoms


def loaded(lammps, atoms: Atoms, folder: Path, style: str = "metal") -> None:
    """Put the atoms into LAMMPS."""
    write_lammps_data(folder / "data", atoms, specorder=ELEMENTS, masses=True, units=style, velocities=True)
    for line in (
        f"units {style}",
        "boundary " + " ".join("p" if p else "m" for p in atoms.pbc),
        f"read_data {folder}/data",
    ):
        lammps.command(line)


def order_of(lammps) -> np.ndarray:
    """The place of every atom, by its identifier; images, which some versions of LAMMPS give too, are left out."""
    return np.argsort(lammps.numpy.extract_atom("id")[: lammps.extract_global("nlocal")])


def current(lammps, atoms: Atoms) -> Atoms:
    """The atoms as LAMMPS has them now."""
    low, high, xy, yz, xz, periodic, _ = lammps.extract_box()
    size = np.subtract(high, low)
    order = order_of(lammps)
    cell = [[size[0], 0, 0], [xy, size[1], 0], [xz, yz, size[2]]]
    return Atoms(atoms.numbers, lammps.numpy.extract_atom("x")[order], cell=cell, pbc=periodic)


def assert_same_as_ase(lammps, calculator, atoms: Atoms) -> None:
    assert lammps.get_thermo("pe") == pytest.approx(calculator.get_property("energy", atoms), abs=1e-9)
    order = order_of(lammps)
    forces = lammps.numpy.extract_atom("f")[order]
    np.testing.assert_allclose(forces, calculator.get_property("forces", atoms), atol=1e-10)


def virial_pressure(lammps) -> np.ndarray:
    """Without that of the motion, in eV/Å^3 and the order of Voigt."""
    xx, yy, zz, xy, xz, yz = lammps.numpy.extract_compute("virial", 0, 1)
    return np.array([xx, yy, zz, yz, xz, xy]) / EV_A3_TO_BAR
