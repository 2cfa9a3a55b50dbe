"""OpenMM: a force of any ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from scalarpath.core.errors import ConfigError
from scalarpath.core.units import ENERGY_TO_EV, LENGTH_TO_A

if TYPE_CHECKING:
    from openmm import PythonForce, State

NM, KJ_MOL = LENGTH_TO_A["nm"], ENERGY_TO_EV["kJ/mol"]


def openmm_force(calculator: Calculator, atoms: Atoms, particles: Sequence[int] = ()) -> PythonForce:
    """Energy and forces of ``calculator`` as a force that is added to a System of OpenMM.

    atoms: elements, and whether the box is periodic; positions and box are those of the simulation, in which all
    distances are in nm and energies in kJ/mol. particles: which particles of the System these atoms are (all, in the
    same order). Raises ConfigError without OpenMM 8.5 or later, and for atoms that are periodic along some axes only.
    """
    try:
        from openmm import PythonForce
    except ImportError as error:
        raise ConfigError(f"OpenMM 8.5 or later is needed ({error}); pip install 'scalarpath[openmm]'.") from error
    if atoms.pbc.any() != atoms.pbc.all():
        raise ConfigError(
            f"the atoms are periodic along {atoms.pbc.tolist()}, and a box of OpenMM along all three axes or none; "
            "set pbc=True in a cell with vacuum, or pbc=False."
        )
    if len(particles) not in (0, len(atoms)):
        raise ConfigError(f"{len(atoms)} atoms are {len(particles)} particles; name one particle for each atom.")
    force = PythonForce(_Computation(calculator, atoms), {}, list(particles))
    force.setUsesPeriodicBoundaryConditions(bool(atoms.pbc.all()))
    return force


class _Computation:
    """What OpenMM calls; an object that can be pickled, since OpenMM copies forces in that way."""

    def __init__(self, calculator: Calculator, atoms: Atoms):
        self._calculator = calculator
        self._atoms = Atoms(atoms.numbers, pbc=atoms.pbc)

    def __call__(self, state: State) -> tuple[float, np.ndarray]:
        """Energy in kJ/mol and forces [particles, 3] in kJ/mol/nm."""
        atoms = self._atoms.copy()
        atoms.positions = _numbers(state.getPositions(asNumpy=True)) * NM
        if atoms.pbc.all():
            atoms.cell = _numbers(state.getPeriodicBoxVectors(asNumpy=True)) * NM
        forces = self._calculator.get_property("forces", atoms)
        return self._calculator.get_property("energy", atoms) / KJ_MOL, forces / KJ_MOL * NM


def _numbers(quantity: Any) -> np.ndarray:
    """In OpenMM's own units."""
    return np.asarray(quantity.value_in_unit_system(_md_units()))


def _md_units() -> Any:
    from openmm.unit import md_unit_system

    return md_unit_system
