"""The materials whose artifacts are measured: those of the table, and structures of one's own (own_structure.py)."""

import math
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.build import molecule as build_molecule
from ase.data import atomic_numbers

from scalarpath.core.errors import ArtifactError
from scalarpath.data.duplicates import structure_hash

MOLECULE = "molecule"
CONVENTIONAL = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])  # cubic axes in the primitive ones of ase.build.bulk
_NEIGHBOUR_IN_LATTICE_CONSTANTS = {"fcc": 0.5**0.5, "diamond": 3**0.5 / 4, "rocksalt": 0.5}


@dataclass(frozen=True)
class Bond:
    """A bond of a molecule along which two rigid parts are moved.

    first, second: atoms of the parts, the first of each is an end of the bond; length_A: usual length.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    length_A: float


@dataclass(frozen=True)
class Liquid:
    """Where a material is molten: temperature, and lattice constant of the conventional cell with its density."""

    temperature_K: float
    lattice_constant_A: float


@dataclass(frozen=True)
class Material:
    """A crystal or a molecule with everything that does not depend on the calculator.

    name: key of ``MATERIALS`` and name of the data set; formula: as ``ase.build.bulk`` or ``ase.build.molecule`` takes
    it; structure: ``fcc``, ``diamond``, ``rocksalt`` or ``molecule``; lattice_constant_A: of the conventional cubic
    cell at which values are stored, 0 for a molecule; dimers: usual distance (Å) of free pairs by their two symbols, it
    sets the range of a scan; bonds: those of a molecule by their two symbols; liquid: of a crystal.
    """

    name: str
    formula: str
    structure: str
    lattice_constant_A: float = 0.0
    dimers: dict[tuple[str, str], float] = field(default_factory=dict)
    bonds: dict[tuple[str, str], Bond] = field(default_factory=dict)
    liquid: Liquid | None = None

    @property
    def is_crystal(self) -> bool:
        """Whether it is periodic in all directions."""
        return self.structure != MOLECULE

    @property
    def is_molecule(self) -> bool:
        """Whether it is periodic in no direction."""
        return self.structure == MOLECULE

    @property
    def is_prototype(self) -> bool:
        """Whether symmetry holds every atom in its place and singles out modes: fcc, diamond or rocksalt."""
        return self.structure in _NEIGHBOUR_IN_LATTICE_CONSTANTS

    @property
    def smallest(self) -> Atoms:
        """The smallest structure that has all elements."""
        return self.primitive_cell() if self.is_crystal else self.molecule()

    @property
    def structure_hash(self) -> str:
        """Of the smallest structure; tells structures of one name apart."""
        return structure_hash(self.smallest)

    def size_in_words(self, lattice_constant_A: float) -> str:
        """How large a crystal is at a lattice constant."""
        return f"a = {lattice_constant_A:.3f} Å"

    @property
    def nearest_neighbour(self) -> float:
        """Nearest-neighbour distance of the crystal at its lattice constant, Å."""
        return self.lattice_constant_A * _NEIGHBOUR_IN_LATTICE_CONSTANTS[self._crystal_structure()]

    def conventional_cell(self, lattice_constant_A: float | None = None) -> Atoms:
        """The perfect cubic cell. Raises ArtifactError for a molecule."""
        return self._bulk(lattice_constant_A, cubic=True)

    def primitive_cell(self, lattice_constant_A: float | None = None) -> Atoms:
        """The perfect primitive cell of the face-centred lattice. Raises ArtifactError for a molecule."""
        return self._bulk(lattice_constant_A, cubic=False)

    def repeated(self, cells: int) -> Atoms:
        """Crystal of ``cells`` conventional cells along each axis."""
        return self.conventional_cell().repeat(cells)

    def supercell_matrix(self, cells: int) -> np.ndarray:
        """The axes of ``cells`` conventional cells in those of the primitive cell, as phonopy takes it, [3, 3]."""
        return cells * CONVENTIONAL

    def molecule(self) -> Atoms:
        """The molecule in the geometry of ASE's G2 set, in vacuum. Raises ArtifactError for a crystal."""
        if self.is_crystal:
            raise ArtifactError(f"material '{self.name}' is a crystal, so it has no molecular geometry.")
        return build_molecule(self.formula)

    def supercell(self, min_cell_A: float, lattice_constant_A: float | None = None) -> Atoms:
        """Cubic supercell of a crystal with an edge of at least ``min_cell_A``; a molecule as it is."""
        if not self.is_crystal:
            return self.molecule()
        repeat = math.ceil(min_cell_A / (lattice_constant_A or self.lattice_constant_A))
        return self.conventional_cell(lattice_constant_A).repeat(repeat)

    def _bulk(self, lattice_constant_A: float | None, *, cubic: bool) -> Atoms:
        lattice_constant = lattice_constant_A or self.lattice_constant_A
        return bulk(self.formula, self._crystal_structure(), a=lattice_constant, cubic=cubic)

    def _crystal_structure(self) -> str:
        if not self.is_crystal:
            raise ArtifactError(f"material '{self.name}' is a molecule: choose a crystal for this measure.")
        return self.structure


def pair_name(first: str, second: str) -> str:
    """Name of a pair of elements, the lighter one first: ``LiF``, ``HO``."""
    return "".join(sorted((first, second), key=atomic_numbers.__getitem__))


MATERIALS: dict[str, Material] = {
    item.name: item
    for item in (
        # densities of the liquids near those measured at ambient pressure: Si 2.53, LiF 1.72, Ag 9.2 g/cm^3
        Material("si", "Si", "diamond", 5.47, {("Si", "Si"): 2.26}, liquid=Liquid(1800.0, 5.28)),
        Material(
            "lif",
            "LiF",
            "rocksalt",
            4.07,
            {("Li", "F"): 1.60, ("Li", "Li"): 2.85, ("F", "F"): 1.42},
            liquid=Liquid(1300.0, 4.64),
        ),
        Material("ag", "Ag", "fcc", 4.15, {("Ag", "Ag"): 2.58}, liquid=Liquid(1400.0, 4.27)),
        Material(
            "ethanol",
            "CH3CH2OH",
            MOLECULE,
            bonds={  # atoms: CH3 carbon 0, CH2 carbon 1, oxygen 2, its hydrogen 3, two of CH2, three of CH3
                ("C", "C"): Bond((0, 6, 7, 8), (1, 2, 3, 4, 5), 1.51),
                ("C", "O"): Bond((1, 0, 4, 5, 6, 7, 8), (2, 3), 1.42),
                ("H", "O"): Bond((3,), (2, 0, 1, 4, 5, 6, 7, 8), 0.97),
                ("H", "C"): Bond((4,), (1, 0, 2, 3, 5, 6, 7, 8), 1.10),
            },
        ),
    )
}


def material(name: str) -> Material:
    """A material of the table. Raises ArtifactError for an unknown name."""
    if name not in MATERIALS:
        raise ArtifactError(f"material '{name}' is unknown; use one of: {', '.join(MATERIALS)}.")
    return MATERIALS[name]
