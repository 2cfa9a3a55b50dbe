"""How much of LiF's elastic constants the ions beyond a network's cutoff carry, by the potential that labels `lif_bm`.

python docs/results/shells.py [RUN]

Prints C11 and C44 (GPa) of all pairs and of those within 5 Å, as in docs/evidence-physics.md, and C11 of all pairs
along a strained edge, where ions pass through the switch of that potential (5 to 6 Å). Every ion of rocksalt is a
centre of inversion, so that nothing relaxes. RUN: a trained network, whose C11 is printed beside.
"""

import sys

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.oracles import BornMayerLithiumFluoride
from scalarpath.artifacts.pair_search import Pairs
from scalarpath.deploy import ScalarPathCalculator

STRAIN = 1e-4


class Within(BornMayerLithiumFluoride):
    """The same without pairs further apart than ``reach`` (Å)."""

    def __init__(self, reach: float):
        super().__init__()
        self.reach = reach

    def pair_gradients(self, pairs: Pairs, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Zero for the others."""
        energies, gradients = super().pair_gradients(pairs, types)
        return energies, np.where(pairs.distance[:, None] < self.reach, gradients, 0.0)


def constant(calculator: Calculator, strained: tuple[int, int], stress: int, strain: float = 0.0) -> float:
    """The slope (GPa) of component ``stress`` of Voigt's notation by the component ``strained`` of the cell, there."""
    stresses = []
    for sign in (1, -1):
        atoms = bulk("LiF", "rocksalt", a=4.044, cubic=True)
        deformation = np.eye(3)
        deformation[strained] += strain + sign * STRAIN
        atoms.set_cell(atoms.cell[:] @ deformation, scale_atoms=True)
        atoms.calc = calculator
        stresses.append(atoms.get_stress()[stress])
    return (stresses[0] - stresses[1]) / (2 * STRAIN) / units.GPa


exact, near = Within(6.0), Within(5.0)
for name, strained, stress in (("C11", (0, 0), 0), ("C44", (1, 2), 3)):
    of_all, of_near = (constant(calculator, strained, stress) for calculator in (exact, near))
    print(f"{name}: {of_all:.1f} GPa, of pairs within 5 Å {of_near:.1f} ({100 * (of_near / of_all - 1):+.0f} %)")
calculators = [exact, *(ScalarPathCalculator(run, dtype="float64") for run in sys.argv[1:])]
for strain in (-0.04, -0.02, 0.0, 0.02, 0.04):
    values = ", ".join(f"{constant(calculator, (0, 0), 0, strain):.0f}" for calculator in calculators)
    print(f"C11 at a strain of {100 * strain:+.0f} %: {values} GPa")
