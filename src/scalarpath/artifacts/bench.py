"""What is put on the bench: a calculator, the material it is measured on, and what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ase import Atoms
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.dynamics import Forces
from scalarpath.artifacts.materials import MATERIALS, Material, material
from scalarpath.artifacts.oracles import ORACLES, oracle
from scalarpath.artifacts.stored_values import Reference, stored_values
from scalarpath.core.errors import ArtifactError


@dataclass(frozen=True)
class Liquid:
    """Where a material is molten: temperature, and lattice constant of the conventional cell with its density."""

    temperature_K: float
    lattice_constant_A: float


# densities near those measured at ambient pressure: Ag 9.2, Si 2.53, LiF 1.72 g/cm^3
LIQUIDS = {"ag": Liquid(1400.0, 4.27), "si": Liquid(1800.0, 5.28), "lif": Liquid(1300.0, 4.64)}

BENCHES = (*MATERIALS, *ORACLES)
"""What can be measured on: materials with stored values of the method that labelled them, and exact potentials."""


@dataclass(frozen=True)
class Bench:
    """One calculator and everything it is measured with.

    Attributes:
        material: Measured on.
        calculator: Measured, in double precision where it has a choice.
        dynamics: What drives dynamics, by precision or another label; energy conservation is measured for each, the
            liquid with the first.
        reference: Stored values; or the exact potential that made the labels, measured as the model is; or None.
        reference_name: Shown.
        min_train_distance_A: Shortest distance of the training set by pair, where it is known.
        test_frames: Labelled frames for the softening of the largest forces.
    """

    material: Material
    calculator: Calculator
    dynamics: dict[str, Forces | Calculator]
    reference: Reference | None
    reference_name: str
    min_train_distance_A: dict[str, float] | None = None
    test_frames: Sequence[Atoms] = field(default_factory=tuple)

    @property
    def reference_calculator(self) -> Calculator | None:
        """The reference for dynamics, which no stored value can be."""
        return self.reference if isinstance(self.reference, Calculator) else None


def bench_reference(name: str) -> tuple[Material, Reference, str]:
    """Material, reference and name of the reference of an entry of ``BENCHES``.

    Raises:
        ArtifactError: ``name`` is none of them.
    """
    if name in ORACLES:
        reference = oracle(name)()
        return material(name.split("_")[0]), reference, f"{type(reference).__name__} (exact: it made the labels)"
    if name in MATERIALS:
        stored = stored_values(name)
        return material(name), stored, stored.provenance.split(";")[0]
    raise ArtifactError(f"material = {name} is unknown; use one of: {', '.join(BENCHES)}.")


def liquid_of(item: Material) -> Liquid:
    """Where the material is molten.

    Raises:
        ArtifactError: It is a molecule.
    """
    if item.name not in LIQUIDS:
        raise ArtifactError(f"material '{item.name}' is a molecule: choose a crystal for the liquid.")
    return LIQUIDS[item.name]


def supercell(item: Material, lattice_constant_A: float, min_cell_A: float) -> Atoms:
    """Cubic supercell with an edge of at least ``min_cell_A``; a molecule as it is."""
    if not item.is_crystal:
        return item.molecule()
    return item.conventional_cell(lattice_constant_A).repeat(math.ceil(min_cell_A / lattice_constant_A))
