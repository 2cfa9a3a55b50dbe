"""Values that are stored for a material: those of the method that made its labels."""

import json
from dataclasses import asdict, dataclass, field
from importlib.resources import files

from ase.calculators.calculator import Calculator

from scalarpath.artifacts.materials import material
from scalarpath.core.errors import ArtifactError


@dataclass(frozen=True)
class WallCurve:
    """Energy and force along one distance, in increasing order of the distance.

    distance_A: of the pair, or of nearest neighbours in a compressed crystal; energy_eV: of the pair's structure, or of
    the compressed crystal per atom; force_eV_A: -dE/dr from the calculator's forces (pair) or stress (crystal),
    positive where it pushes apart.
    """

    distance_A: list[float]
    energy_eV: list[float]
    force_eV_A: list[float]


@dataclass(frozen=True)
class StoredValues:
    """Values of the method that made the labels of a material. What is not known is absent.

    provenance: engine, settings, and how each value was derived; walls: repulsion curves by the name of the scan;
    modes_THz: frequencies at the lattice constant of the material, or of the relaxed molecule; equation_of_state:
    ``lattice_constant_A``, ``energy_eV_atom`` and ``bulk_modulus_GPa`` at the minimum; elastic_GPa: elastic constants
    at the minimum; spread_THz: how far the frequency of a mode moves with the amplitude at which it is taken, where
    that was checked.
    """

    material: str
    provenance: str
    walls: dict[str, WallCurve] = field(default_factory=dict)
    modes_THz: dict[str, float] = field(default_factory=dict)
    equation_of_state: dict[str, float] = field(default_factory=dict)
    elastic_GPa: dict[str, float] = field(default_factory=dict)
    spread_THz: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of a file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "StoredValues":
        """Read what ``to_json`` wrote."""
        fields = json.loads(text)
        return cls(**(fields | {"walls": {name: WallCurve(**curve) for name, curve in fields["walls"].items()}}))


Reference = StoredValues | Calculator
"""What a measured value is compared with: a stored value, or that of a calculator which is measured as the model is."""


def stored_values(name: str) -> StoredValues:
    """The values that come with the package for a material of the table.

    Raises ArtifactError for an unknown material or a damaged file.
    """
    path = files("scalarpath.artifacts") / "stored" / f"{material(name).name}.json"
    try:
        return StoredValues.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"{path} is damaged ({reason}); install scalarpath again.") from error
