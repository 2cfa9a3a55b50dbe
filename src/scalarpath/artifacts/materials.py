"""The materials whose artifacts are measured, and the reference values that are stored for them."""

import json
from dataclasses import asdict, dataclass, field
from importlib.resources import files

from ase import Atoms
from ase.build import bulk
from ase.build import molecule as build_molecule
from ase.data import atomic_numbers

from scalarpath.core.errors import ArtifactError

MOLECULE = "molecule"
_NEIGHBOUR_IN_LATTICE_CONSTANTS = {"fcc": 0.5**0.5, "diamond": 3**0.5 / 4, "rocksalt": 0.5}


@dataclass(frozen=True)
class Bond:
    """A bond of a molecule along which two rigid parts are moved.

    Attributes:
        first, second: Atoms of the parts; the first of each is an end of the bond.
        length_A: Usual length.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    length_A: float


@dataclass(frozen=True)
class Material:
    """A crystal or a molecule with everything that does not depend on the calculator.

    Attributes:
        name: Key of ``MATERIALS`` and name of the data set.
        formula: As ``ase.build.bulk`` or ``ase.build.molecule`` takes it.
        structure: ``fcc``, ``diamond``, ``rocksalt`` or ``molecule``.
        lattice_constant_A: Of the conventional cubic cell at which references are given; 0 for a molecule.
        dimers: Usual distance (Å) of free pairs by their two symbols; it sets the range of a scan.
        bonds: Bonds of a molecule by their two symbols.
    """

    name: str
    formula: str
    structure: str
    lattice_constant_A: float = 0.0
    dimers: dict[tuple[str, str], float] = field(default_factory=dict)
    bonds: dict[tuple[str, str], Bond] = field(default_factory=dict)

    @property
    def is_crystal(self) -> bool:
        """Whether it is periodic."""
        return self.structure != MOLECULE

    @property
    def nearest_neighbour(self) -> float:
        """Nearest-neighbour distance of the crystal at its reference lattice constant, Å."""
        return self.lattice_constant_A * _NEIGHBOUR_IN_LATTICE_CONSTANTS[self._crystal_structure()]

    def conventional_cell(self, lattice_constant_A: float | None = None) -> Atoms:
        """The perfect cubic cell.

        Raises:
            ArtifactError: The material is a molecule.
        """
        return self._bulk(lattice_constant_A, cubic=True)

    def primitive_cell(self, lattice_constant_A: float | None = None) -> Atoms:
        """The perfect primitive cell of the face-centred lattice.

        Raises:
            ArtifactError: The material is a molecule.
        """
        return self._bulk(lattice_constant_A, cubic=False)

    def molecule(self) -> Atoms:
        """The molecule in the geometry of ASE's G2 set, in vacuum.

        Raises:
            ArtifactError: The material is a crystal.
        """
        if self.is_crystal:
            raise ArtifactError(f"material '{self.name}' is a crystal, so it has no molecular geometry.")
        return build_molecule(self.formula)

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
        Material("si", "Si", "diamond", 5.47, {("Si", "Si"): 2.26}),
        Material("lif", "LiF", "rocksalt", 4.07, {("Li", "F"): 1.60, ("Li", "Li"): 2.85, ("F", "F"): 1.42}),
        Material("ag", "Ag", "fcc", 4.15, {("Ag", "Ag"): 2.58}),
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
    """A material of the table.

    Raises:
        ArtifactError: ``name`` is not one of them.
    """
    if name not in MATERIALS:
        raise ArtifactError(f"material '{name}' is unknown; use one of: {', '.join(MATERIALS)}.")
    return MATERIALS[name]


@dataclass(frozen=True)
class WallCurve:
    """Energy and force along one distance, in increasing order of the distance.

    Attributes:
        distance_A: Distance of the pair, or of nearest neighbours in a compressed crystal.
        energy_eV: Of the pair's structure; of a compressed crystal per atom.
        force_eV_A: -dE/dr as the calculator's forces (pair) or stress (crystal) give it; positive pushes apart.
    """

    distance_A: list[float]
    energy_eV: list[float]
    force_eV_A: list[float]


@dataclass(frozen=True)
class Reference:
    """Values of the method that made the labels of a material; what is not known is absent.

    Attributes:
        material: Its name.
        provenance: Engine, settings and how each value was derived.
        walls: Repulsion curves by the name of the scan.
        modes_THz: Frequencies at the reference lattice constant, or of the relaxed molecule.
        equation_of_state: ``lattice_constant_A``, ``energy_eV_atom`` and ``bulk_modulus_GPa`` at the minimum.
        elastic_GPa: Elastic constants at the minimum.
        spread_THz: How far a mode's frequency moves with the amplitude at which it is taken, where that was checked.
    """

    material: str
    provenance: str
    walls: dict[str, WallCurve] = field(default_factory=dict)
    modes_THz: dict[str, float] = field(default_factory=dict)
    equation_of_state: dict[str, float] = field(default_factory=dict)
    elastic_GPa: dict[str, float] = field(default_factory=dict)
    spread_THz: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of a reference file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Reference":
        """Read what ``to_json`` wrote."""
        fields = json.loads(text)
        return cls(**(fields | {"walls": {name: WallCurve(**curve) for name, curve in fields["walls"].items()}}))


def stored_reference(name: str) -> Reference:
    """The reference that comes with the package for a material of the table.

    Raises:
        ArtifactError: The material is unknown.
    """
    path = files("scalarpath.artifacts") / "references" / f"{material(name).name}.json"
    return Reference.from_json(path.read_text(encoding="utf-8"))
