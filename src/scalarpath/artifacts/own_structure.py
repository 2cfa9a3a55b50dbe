"""A structure of one's own on the bench: any crystal, slab, wire or molecule, of which only the atoms are known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.pair_search import heights, nearest_distances
from scalarpath.core.errors import ArtifactError

MAX_ATOMS = 1000
"""Supercells of more would take hours."""
CELL_A = 4.0
"""Height that counts as one conventional cell: about that of a simple metal."""
_CLOSEST_A = 0.3
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class OwnStructure(Material):
    """A material whose cell is that of a file; ``lattice_constant_A`` is the cube root of the volume of the cell.

    Another lattice constant scales cell and positions as a whole: the shape of the cell stays. Where a number of
    conventional cells is asked for, the cell of the file is repeated until it is ``CELL_A`` high for each.
    """

    atoms: Atoms

    @property
    def is_crystal(self) -> bool:
        """See ``Material``."""
        return bool(self.atoms.pbc.all())

    @property
    def is_molecule(self) -> bool:
        """See ``Material``."""
        return not self.atoms.pbc.any()

    @property
    def smallest(self) -> Atoms:
        """See ``Material``."""
        return self.atoms.copy()

    @property
    def nearest_neighbour(self) -> float:
        """Shortest distance of two atoms, Å."""
        return float(nearest_distances(self.repeated(2)).min())

    def size_in_words(self, lattice_constant_A: float) -> str:
        """See ``Material``."""
        return f"{lattice_constant_A**3 / len(self.atoms):.3f} Å³/atom"

    def conventional_cell(self, lattice_constant_A: float | None = None) -> Atoms:
        """The cell of the file, scaled. Raises ArtifactError where it is no crystal."""
        if not self.is_crystal:
            raise ArtifactError(f"{self.name} is no crystal: choose one that is periodic in all directions.")
        atoms = self.atoms.copy()
        if lattice_constant_A is not None:
            atoms.set_cell(atoms.cell * (lattice_constant_A / self.lattice_constant_A), scale_atoms=True)
        return atoms

    def primitive_cell(self, lattice_constant_A: float | None = None) -> Atoms:
        """The same as ``conventional_cell``: phonons look for a smaller one by themselves."""
        return self.conventional_cell(lattice_constant_A)

    def molecule(self) -> Atoms:
        """The structure of the file. Raises ArtifactError where it is periodic."""
        if not self.is_molecule:
            raise ArtifactError(f"{self.name} is no molecule: choose a structure without periodic directions.")
        return self.atoms.copy()

    def repeated(self, cells: int) -> Atoms:
        """The structure, repeated along its periodic axes until it is ``CELL_A`` high for each of ``cells``."""
        return self.supercell(cells * CELL_A)

    def supercell_matrix(self, cells: int) -> np.ndarray:
        """See ``Material``; in the axes of the file."""
        return np.diag(self._repeats(cells * CELL_A))

    def supercell(self, min_cell_A: float, lattice_constant_A: float | None = None) -> Atoms:
        """The structure repeated along its periodic axes to heights of at least ``min_cell_A``."""
        atoms = self.atoms if lattice_constant_A is None else self.conventional_cell(lattice_constant_A)
        return atoms.repeat(self._repeats(min_cell_A))

    def _repeats(self, min_cell_A: float) -> tuple[int, ...]:
        repeats = np.ceil(min_cell_A / heights(self.atoms) - _ROUNDING).astype(int)
        return tuple(int(n) for n in np.where(self.atoms.pbc, np.maximum(repeats, 1), 1))


def own_structure(name: str, atoms: Atoms) -> OwnStructure:
    """A material from a structure as it was read; every pair of its elements has its covalent radii as usual distance.

    Raises ArtifactError where cell, distances or number of atoms are impossible.
    """
    if len(atoms) > MAX_ATOMS:
        raise ArtifactError(
            f"structure = {name} has {len(atoms)} atoms, more than {MAX_ATOMS}; give a smaller cell of the same kind."
        )
    # phonopy wants right-handed axes
    axes = [0, 1, 2] if np.linalg.det(atoms.cell.complete()) >= 0 else [1, 0, 2]
    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell[axes], pbc=atoms.pbc[axes])
    if plain.pbc.any() and not (heights(plain)[plain.pbc] > 1.0).all():
        raise ArtifactError(
            f"structure = {name} is periodic along a cell vector that is missing or flat; mend its cell."
        )
    if (closest := nearest_distances(plain).min()) < _CLOSEST_A:
        raise ArtifactError(
            f"structure = {name} has two atoms that are {closest:.3g} Å apart; remove the doubled atoms from the file."
        )
    if not np.isfinite(closest) and (plain.pbc.sum() == 0 or heights(plain)[plain.pbc].min() > 2 * CELL_A):
        raise ArtifactError(f"structure = {name} is one atom alone; give a structure with bonds.")
    symbols = sorted(set(plain.get_chemical_symbols()), key=atomic_numbers.__getitem__)
    return OwnStructure(
        name=name,
        formula=plain.get_chemical_formula(empirical=bool(plain.pbc.any())),
        structure="own",
        lattice_constant_A=float(np.cbrt(plain.get_volume())) if plain.pbc.all() else 0.0,
        dimers={pair: _covalent_distance(*pair) for pair in combinations_with_replacement(symbols, 2)},
        atoms=plain,
    )


def _covalent_distance(first: str, second: str) -> float:
    return float(covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]])
