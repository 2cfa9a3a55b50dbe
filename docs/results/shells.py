"""How much of LiF's elastic constants the ions beyond a network's cutoff carry, by the potential that labels `lif_bm`.

python docs/results/shells.py

Prints C11 and C44 (GPa) of all pairs and of those within 5 Å, as in docs/evidence-physics.md, and C11 of all pairs
along a strained edge, where ions pass through the switch of that potential (5 to 6 Å). Every ion of rocksalt is a
centre of inversion, so that nothing relaxes.
"""

import numpy as np
from ase import units
from ase.build import bulk

from scalarpath.artifacts.oracles import BornMayerLithiumFluoride, Pairs

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


def constant(reach: float, strained: tuple[int, int], stress: int, strain: float = 0.0) -> float:
    """The slope (GPa) of component ``stress`` of Voigt's notation by the component ``strained`` of the cell, there."""
    stresses = []
    for sign in (1, -1):
        atoms = bulk("LiF", "rocksalt", a=4.044, cubic=True)
        deformation = np.eye(3)
        deformation[strained] += strain + sign * STRAIN
        atoms.set_cell(atoms.cell[:] @ deformation, scale_atoms=True)
        atoms.calc = Within(reach)
        stresses.append(atoms.get_stress()[stress])
    return (stresses[0] - stresses[1]) / (2 * STRAIN) / units.GPa


for name, *component in (("C11", (0, 0), 0), ("C44", (1, 2), 3)):
    of_all, near = (constant(reach, *component) for reach in (6.0, 5.0))
    print(f"{name}: {of_all:.1f} GPa, of pairs within 5 Å {near:.1f} ({100 * (near / of_all - 1):+.0f} %)")
for strain in (-0.04, -0.02, 0.0, 0.02, 0.04):
    print(f"C11 at a strain of {100 * strain:+.0f} %: {constant(6.0, (0, 0), 0, strain):.0f} GPa")
