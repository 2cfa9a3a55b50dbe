"""A potential as a file for ``pair_style mliap unified`` of LAMMPS, after it was compared with the potential."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from scalarpath.core.files import put_in_place
from scalarpath.deploy.mliap import UnifiedPotential, reach_of
from scalarpath.graph import neighbour_list
from scalarpath.models.comparison import compared, refuse_deviations, sample_structures
from scalarpath.potential import Potential, write_model
from scalarpath.potential.backend import TOLERANCE


def write_mliap(
    file: Path, potential: Potential, facts: Mapping[str, Any], trust: Collection[str] = ()
) -> tuple[dict[str, float], list[int]]:
    """Write a pickle of an ``UnifiedPotential``, which holds what ``write_model`` writes.

    It is compared with the potential before, called as LAMMPS does; the comparison also tells whether an energy reaches
    further than its backbone says. Returns the deviations of energy, atomic energies, forces and stress, and the
    numbers of atoms of the structures. Raises ConfigError for a potential that LAMMPS cannot use, or that computes
    something else there; nothing is written then.
    """
    reach_of(potential)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.sp"
        write_model(model, potential, facts)
        unified = UnifiedPotential(model.read_bytes(), trust)
    structures = sample_structures(potential)
    deviations = compared(potential, structures, [_as_in_lammps(unified, atoms) for atoms in structures])
    refuse_deviations("mliap", "LAMMPS", deviations, TOLERANCE[potential.dtype])
    with put_in_place(file) as partial:
        partial.write_bytes(pickle.dumps(unified))
    return deviations, [len(atoms) for atoms in structures]


class Images:
    """What LAMMPS tells a model of a structure on one process, and what it makes of the answer.

    Atoms come first, then the images of them within ``distance`` (Å) of any. Has the attributes of ``MLIAPDataPy``
    that are read; ``eatoms`` and ``energy`` are set by the model.
    """

    eatoms: np.ndarray
    energy: float

    def __init__(self, atoms: Atoms, elements: list[str], distance: float):
        found = neighbour_list(atoms, distance)
        centre, neighbour = found.edge_index
        places, number = np.unique(
            np.column_stack([neighbour, found.edge_shift])[found.edge_shift.any(axis=1)], axis=0, return_inverse=True
        )
        self.nlistatoms = self.natomneigh = len(atoms)
        self.iatoms = np.arange(len(atoms))
        self.npairs, self.pair_i, self.jatoms = len(centre), centre, neighbour.copy()
        self.jatoms[found.edge_shift.any(axis=1)] = len(atoms) + number.ravel()
        self.rij = atoms.positions[neighbour] - atoms.positions[centre] + found.edge_shift @ atoms.cell.array
        self._owner = np.concatenate([self.iatoms, places[:, 0]])
        self.elems = np.array([elements.index(symbol) for symbol in atoms.symbols])[self._owner]
        self.forces, self.virial = np.zeros((len(atoms), 3)), np.zeros((3, 3))

    def update_pair_forces(self, pulls: np.ndarray) -> None:
        """The forces of pairs on their first atom [P, 3], eV/Å."""
        np.add.at(self.forces, self._owner[self.pair_i], pulls)
        np.add.at(self.forces, self._owner[self.jatoms], -pulls)
        virial = -self.rij.T @ pulls
        self.virial = (virial + virial.T) / 2


def _as_in_lammps(unified: UnifiedPotential, atoms: Atoms) -> dict[str, Tensor]:
    data = Images(atoms, unified.element_types, 2 * unified.rcutfac)
    unified.compute_forces(data)
    stress = -data.virial / atoms.get_volume() if atoms.pbc.all() else np.full((3, 3), np.nan)
    values = {"energy": data.energy, "node_energy": data.eatoms, "forces": data.forces, "stress": stress}
    return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in values.items()}
