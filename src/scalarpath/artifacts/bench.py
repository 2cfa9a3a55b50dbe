"""What is put on the bench: a calculator, the material it is measured on, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ase import Atoms
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.dynamics import Forces
from scalarpath.artifacts.materials import MATERIALS, Material, material
from scalarpath.artifacts.oracles import ORACLES, oracle
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.artifacts.stored_values import Reference, stored_values
from scalarpath.core.errors import ArtifactError, ConfigError
from scalarpath.core.settings import nearest

BENCHES = (*MATERIALS, *ORACLES)
"""What can be measured on: materials with stored values of the method that labelled them, and exact potentials."""


@dataclass(frozen=True)
class Bench:
    """One calculator and everything it is measured with.

    calculator: measured, in double precision where it has a choice; dynamics: what drives dynamics, by precision or
    another label: energy conservation is measured for each, the liquid with the first; reference: stored values, or the
    exact potential that made the labels, which is measured as the model is, or None; reference_name: as shown;
    min_train_distance_A: how far the training set goes by pair and, for the crystal, by density, where it is known;
    test_frames: labelled frames for the softening of the largest forces.
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
        """The reference where it is a calculator, as dynamics need it; None for stored values."""
        return self.reference if isinstance(self.reference, Calculator) else None


class Subject(NamedTuple):
    """What is measured on, what it is compared with (None: nothing), and the name of the latter."""

    material: Material
    reference: Reference | None
    reference_name: str


def bench_reference(name: str) -> Subject:
    """What stands for an entry of ``BENCHES``.

    Raises ArtifactError for an unknown name.
    """
    if name in ORACLES:
        reference = oracle(name)()
        return Subject(
            material(reference.material), reference, f"{type(reference).__name__} (exact: it made the labels)"
        )
    if name in MATERIALS:
        stored = stored_values(name)
        return Subject(material(name), stored, stored.provenance.split(";")[0])
    raise ArtifactError(
        f"material = {name} is unknown{nearest(name, BENCHES)}; use one of: {', '.join(BENCHES)}; or give a "
        "file of your own as structure=."
    )


def bench_name(data: Mapping[str, Any]) -> str | None:
    """The bench that belongs to a data configuration: folders of bundled sets have the names of benches, else None."""
    folder = Path(str(data.get("path"))).parent.name
    return folder if data.get("source") == "bundled" and folder in BENCHES else None


def bench_of_training(config: Mapping[str, Any]) -> str:
    """Name of the bench of a training configuration.

    Raises ConfigError where its data belong to none, or where the settings of its size (conf/size) are wrong: a
    training asks for it before it starts.
    """
    measure_settings(preset(config["artifacts"]))
    name = bench_name(config["data"])
    if name is None:
        raise ConfigError(
            f"artifacts={config['artifacts']}: the data set '{config['data'].get('name')}' belongs to no material of "
            "the bench; use artifacts=null, then evaluate.py with structure=<a file of yours> or material=."
        )
    return name
