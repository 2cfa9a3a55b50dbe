"""Equation of state and elastic constants of cubic crystals: another place where a model can be too soft.

Any other crystal: ``elastic_tensor.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS
from numpy.polynomial import Polynomial

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.measure import Measure, Measurement, Progress
from scalarpath.artifacts.ranges import ForceLeft, RelaxationSteps
from scalarpath.artifacts.rows import NO_REFERENCE, Row, compared
from scalarpath.artifacts.stored_values import Reference, StoredValues
from scalarpath.core.settings import Range

_OF_THE_STATE = ("lattice_constant_A", "energy_eV_atom", "bulk_modulus_GPa")
SCALES = (0.96, 0.98, 0.99, 1.0, 1.01, 1.02, 1.04)
"""Linear scales at which equations of state are computed and fitted, the labelled ones around the minimum."""


@dataclass(frozen=True)
class ElasticSettings:
    """What is strained.

    strain: size of the strains of both signs, whose square the constants contain as a relative error;
    relaxation_fmax_eV_A: largest force left when the atoms of a strained cell are relaxed; relaxation_steps: at most, a
    cell that needs more gives NaN and a note; cell_relaxation_steps: of a structure of one's own, whose cell is relaxed
    first.
    """

    strain: Annotated[float, Range(at_least=1e-5, below=0.1)]
    relaxation_fmax_eV_A: ForceLeft
    relaxation_steps: RelaxationSteps
    cell_relaxation_steps: RelaxationSteps


@dataclass(frozen=True)
class EquationOfState:
    """Minimum of energy against volume from a Birch-Murnaghan fit (Birch, Phys. Rev. 71, 809, 1947); NaN without one.

    scale: linear scales of the points, relative to the lattice constant of the material; energies_eV_atom: their
    energies.
    """

    lattice_constant_A: float
    energy_eV_atom: float
    bulk_modulus_GPa: float
    scale: list[float]
    energies_eV_atom: list[float]


@dataclass(frozen=True)
class ElasticResult:
    """Equation of state and elastic constants at its minimum.

    elastic_GPa: ``c11``, ``c12``, ``c44`` (atoms relaxed), ``c44_clamped`` (atoms moved with the cell); errors: model
    minus reference, or model over reference minus one; elastic_relative_error: for the constants that the reference
    knows; reference: values it knows, ``lattice_constant_A``, ``energy_eV_atom``, ``bulk_modulus_GPa``, ``c11_GPa``,
    ...; notes: what could not be measured, and why.
    """

    material: str
    equation_of_state: EquationOfState
    lattice_constant_error_A: float
    energy_error_meV_atom: float
    bulk_modulus_relative_error: float
    elastic_GPa: dict[str, float]
    elastic_relative_error: dict[str, float]
    reference: dict[str, float]
    notes: list[str]


class Elastic(Measure[ElasticSettings]):
    """Lattice constant, bulk modulus and elastic constants."""

    name = "elastic"
    settings = ElasticSettings
    for_molecules = False

    def unsuitable(self, bench: Bench, settings: ElasticSettings) -> str:
        """See ``Measure``."""
        return super().unsuitable(bench, settings) or ("" if bench.material.is_prototype else "it may not be cubic")

    def measure(
        self, bench: Bench, settings: ElasticSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        progress("elastic constants", 0, 0)
        model = measure_elastic(bench.calculator, bench.material, settings, bench.reference)
        return Measurement({"model": model}, {"material": bench.material.name, **asdict(settings)})

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        result: ElasticResult = measurement.results["model"]
        state, known = result.equation_of_state, result.reference
        expected = known["lattice_constant_A"]
        note = "" if np.isfinite(expected) else NO_REFERENCE
        yield compared("lattice_constant_A", "lattice constant", "Å", state.lattice_constant_A, expected, note=note)
        values = {"bulk_modulus": state.bulk_modulus_GPa, **result.elastic_GPa}
        for name in ("bulk_modulus", "c11", "c12", "c44"):
            expected = known.get(f"{name}_GPa", np.nan)
            note = "" if np.isfinite(expected) else NO_REFERENCE
            quantity = name.replace("_", " ")
            yield compared(f"{name}_GPa", quantity, "GPa", values[name], expected, relative=True, note=note)


def measure_elastic(
    calculator: Calculator, crystal: Material, settings: ElasticSettings, reference: Reference | None = None
) -> ElasticResult:
    """Equation of state and elastic constants. Without a reference, errors are NaN.

    Raises ArtifactError for a molecule.
    """
    state, elastic, notes = _measured(calculator, crystal, settings)
    expected_state, expected = dict.fromkeys(_OF_THE_STATE, np.nan), {}
    if isinstance(reference, StoredValues):
        expected_state |= reference.equation_of_state
        expected = reference.elastic_GPa
    elif reference is not None:
        known, expected, more = _measured(reference, crystal, settings)
        expected_state = {name: getattr(known, name) for name in expected_state}
        notes += [f"reference: {note}" for note in more]
    return ElasticResult(
        material=crystal.name,
        equation_of_state=state,
        lattice_constant_error_A=state.lattice_constant_A - expected_state["lattice_constant_A"],
        energy_error_meV_atom=1e3 * (state.energy_eV_atom - expected_state["energy_eV_atom"]),
        bulk_modulus_relative_error=state.bulk_modulus_GPa / expected_state["bulk_modulus_GPa"] - 1,
        elastic_GPa=elastic,
        elastic_relative_error={name: elastic[name] / value - 1 for name, value in expected.items()},
        reference=expected_state | {f"{name}_GPa": value for name, value in expected.items()},
        notes=notes,
    )


def equation_of_state(calculator: Calculator, crystal: Material, scales: Sequence[float] = SCALES) -> EquationOfState:
    """Energies of scaled cells and their Birch-Murnaghan fit. Raises ArtifactError for a molecule."""
    energies = []
    for scale in scales:
        cell = crystal.conventional_cell(crystal.lattice_constant_A * scale)
        energies.append(float(calculator.get_potential_energy(cell)) / len(cell))
    return fit_equation_of_state(crystal, scales, energies)


def fit_equation_of_state(
    crystal: Material, scales: Sequence[float], energies_eV_atom: Sequence[float]
) -> EquationOfState:
    """Birch-Murnaghan fit to energies per atom; NaN where the minimum is not within the range of the points."""
    cell = crystal.conventional_cell()
    inverse = (np.array(scales) ** 3 * cell.get_volume() / len(cell)) ** (-2 / 3)
    curve = Polynomial.fit(inverse, energies_eV_atom, 3)  # Birch-Murnaghan is a cubic in V^(-2/3)
    minima = [
        float(root.real)
        for root in curve.deriv().roots()
        if abs(root.imag) < 1e-12 and inverse.min() < root.real < inverse.max() and curve.deriv(2)(root.real) > 0
    ]
    best = min(minima, key=curve, default=np.nan)  # no minimum is looked for outside of the points
    volume = best**-1.5
    modulus = 4 / 9 * curve.deriv(2)(best) * best**2 / volume  # V d2E/dV2 where dE/dV = 0
    return EquationOfState(
        lattice_constant_A=float(np.cbrt(volume * len(cell))),
        energy_eV_atom=float(curve(best)),
        bulk_modulus_GPa=float(modulus / units.GPa),
        scale=[float(scale) for scale in scales],
        energies_eV_atom=[float(energy) for energy in energies_eV_atom],
    )


def _measured(
    calculator: Calculator, crystal: Material, settings: ElasticSettings
) -> tuple[EquationOfState, dict[str, float], list[str]]:
    state = equation_of_state(calculator, crystal)
    unknown = dict.fromkeys(("c11", "c12", "c44", "c44_clamped"), np.nan)
    if np.isnan(state.lattice_constant_A):
        return state, unknown, [f"no minimum of the energy between linear scales {SCALES[0]} and {SCALES[-1]}"]
    if "stress" not in calculator.implemented_properties:
        return state, unknown, ["the calculator gives no stress, so there are no elastic constants"]
    cell = crystal.conventional_cell(state.lattice_constant_A)
    constants = elastic_constants(calculator, cell, settings)
    failed = [name for name, value in constants.items() if np.isnan(value)]
    steps = settings.relaxation_steps
    return state, constants, [f"{name}: atoms of a strained cell did not relax in {steps} steps" for name in failed]


def elastic_constants(calculator: Calculator, cell: Atoms, settings: ElasticSettings) -> dict[str, float]:
    """Elastic constants (GPa) of a cubic cell from the stress under small strains of both signs.

    cell: cubic axes along x, y, z, at its equilibrium lattice constant, so that the definitions of the constants by
    stress and by energy agree. Gives ``c11``, ``c12``, ``c44`` and ``c44_clamped``; ``c44`` is NaN where the atoms did
    not relax. The axial constants need no relaxation here: by symmetry every atom of fcc, rocksalt and diamond stays at
    rest.
    """
    axial, shear = np.zeros((3, 3)), np.zeros((3, 3))
    axial[0, 0] = settings.strain
    shear[1, 2] = shear[2, 1] = settings.strain / 2
    along = stress_per_strain(calculator, cell, axial, settings, relaxed=False)
    return {
        "c11": along[0],
        "c12": (along[1] + along[2]) / 2,
        "c44": stress_per_strain(calculator, cell, shear, settings, relaxed=True)[3],
        "c44_clamped": stress_per_strain(calculator, cell, shear, settings, relaxed=False)[3],
    }


def stress_per_strain(
    calculator: Calculator, cell: Atoms, strain: np.ndarray, settings: ElasticSettings, *, relaxed: bool
) -> list[float]:
    """Central difference of the stress (Voigt order) over the strain, GPa; NaN where the atoms did not relax."""
    stresses = []
    for sign in (1, -1):
        atoms = cell.copy()
        atoms.set_cell(cell.cell @ (np.eye(3) + sign * strain), scale_atoms=True)
        atoms.calc = calculator
        fmax = settings.relaxation_fmax_eV_A
        if relaxed and not BFGS(atoms, logfile=None).run(fmax=fmax, steps=settings.relaxation_steps):
            return [np.nan] * 6
        stresses.append(atoms.get_stress())
    return [float(value) for value in (stresses[0] - stresses[1]) / (2 * settings.strain) / units.GPa]
