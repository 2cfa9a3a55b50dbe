"""Softening in a second guise: equation of state and elastic constants of cubic crystals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS
from numpy.polynomial import Polynomial

from scalarpath.artifacts.materials import Material, material
from scalarpath.artifacts.stored_values import Reference, StoredValues
from scalarpath.core.errors import ArtifactError

NAN = float("nan")
SCALES = (0.96, 0.98, 0.99, 1.0, 1.01, 1.02, 1.04)
"""Linear scales at which equations of state are computed and fitted, the labelled ones around the minimum."""


@dataclass(frozen=True)
class ElasticSettings:
    """What is strained.

    Attributes:
        material: Name of a crystal in ``MATERIALS``.
        strain: Size of the strains of both signs; results contain its square as a relative error.
        relaxation_fmax_eV_A: Largest force left when the atoms of a strained cell are relaxed.
        relaxation_steps: At most; a cell that needs more gives NaN and a note.
    """

    material: str = "si"
    strain: float = 0.005
    relaxation_fmax_eV_A: float = 1e-4
    relaxation_steps: int = 100

    @classmethod
    def smoke(cls, material: str = "si") -> "ElasticSettings":
        """Quick: atoms relaxed less far."""
        return cls(material=material, relaxation_fmax_eV_A=1e-3, relaxation_steps=25)


@dataclass(frozen=True)
class EquationOfState:
    """Minimum of energy against volume from a Birch-Murnaghan fit (Birch, Phys. Rev. 71, 809, 1947); NaN without one.

    Attributes:
        lattice_constant_A, energy_eV_atom, bulk_modulus_GPa: At the minimum.
        scale: Linear scales of the points, relative to the material's reference lattice constant.
        energies_eV_atom: Energies of the points.
    """

    lattice_constant_A: float
    energy_eV_atom: float
    bulk_modulus_GPa: float
    scale: list[float]
    energies_eV_atom: list[float]


@dataclass(frozen=True)
class ElasticResult:
    """Equation of state and elastic constants at its minimum; errors are model minus reference.

    Attributes:
        material: Its name.
        equation_of_state: Of the model.
        lattice_constant_error_A, energy_error_meV_atom, bulk_modulus_relative_error: Against the reference.
        elastic_GPa: ``c11``, ``c12``, ``c44`` (atoms relaxed), ``c44_clamped`` (atoms moved with the cell).
        elastic_relative_error: For those that the reference knows.
        notes: What could not be measured, and why.
    """

    material: str
    equation_of_state: EquationOfState
    lattice_constant_error_A: float
    energy_error_meV_atom: float
    bulk_modulus_relative_error: float
    elastic_GPa: dict[str, float]
    elastic_relative_error: dict[str, float]
    notes: list[str]


def measure_elastic(
    calculator: Calculator, settings: ElasticSettings, reference: Reference | None = None
) -> ElasticResult:
    """Equation of state and elastic constants.

    Args:
        calculator: Measured.
        settings: What is strained.
        reference: Stored values, or a calculator that is measured as the model is; without it, errors are NaN.

    Raises:
        ArtifactError: The material is no crystal, or the strain is not positive and small.
    """
    crystal = material(settings.material)
    if not 0 < settings.strain < 0.1:
        raise ArtifactError(f"strain = {settings.strain} is not usable for elastic constants; choose 0.001 to 0.02.")
    state, elastic, notes = _measured(calculator, crystal, settings)
    expected_state, expected = {"lattice_constant_A": NAN, "energy_eV_atom": NAN, "bulk_modulus_GPa": NAN}, {}
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
        notes=notes,
    )


def equation_of_state(calculator: Calculator, crystal: Material, scales: Sequence[float] = SCALES) -> EquationOfState:
    """Energies of scaled cells and their Birch-Murnaghan fit.

    Raises:
        ArtifactError: The material is a molecule.
    """
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
    best = min(minima, key=curve, default=NAN)  # none is taken from outside of the points
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
    unknown = dict.fromkeys(("c11", "c12", "c44", "c44_clamped"), NAN)
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
    """Elastic constants of a cubic cell from the stress under small strains of both signs.

    Args:
        calculator: Gives stress.
        cell: Cubic axes along x, y, z; at its equilibrium lattice constant, so that stress and energy definitions of
            the constants agree.
        settings: Size of the strains and relaxation.

    Returns:
        ``c11``, ``c12``, ``c44`` and ``c44_clamped`` in GPa; ``c44`` is NaN where the atoms did not relax. The axial
        constants need no relaxation here: symmetry leaves every atom of fcc, rocksalt and diamond at rest.
    """
    axial, shear = np.zeros((3, 3)), np.zeros((3, 3))
    axial[0, 0] = settings.strain
    shear[1, 2] = shear[2, 1] = settings.strain / 2
    along = _stress_per_strain(calculator, cell, axial, settings, relaxed=False)
    return {
        "c11": along[0],
        "c12": (along[1] + along[2]) / 2,
        "c44": _stress_per_strain(calculator, cell, shear, settings, relaxed=True)[3],
        "c44_clamped": _stress_per_strain(calculator, cell, shear, settings, relaxed=False)[3],
    }


def _stress_per_strain(
    calculator: Calculator, cell: Atoms, strain: np.ndarray, settings: ElasticSettings, *, relaxed: bool
) -> list[float]:
    """Central difference of the stress (Voigt order) over the strain, GPa."""
    stresses = []
    for sign in (1, -1):
        atoms = cell.copy()
        atoms.set_cell(cell.cell @ (np.eye(3) + sign * strain), scale_atoms=True)
        atoms.calc = calculator
        fmax = settings.relaxation_fmax_eV_A
        if relaxed and not BFGS(atoms, logfile=None).run(fmax=fmax, steps=settings.relaxation_steps):
            return [NAN] * 6
        stresses.append(atoms.get_stress())
    return [float(value) for value in (stresses[0] - stresses[1]) / (2 * settings.strain) / units.GPa]
