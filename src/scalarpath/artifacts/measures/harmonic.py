"""Harmonic frequencies of a molecule at the model's own minimum."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS

from scalarpath.artifacts.materials import material
from scalarpath.artifacts.stored_values import Reference, StoredValues
from scalarpath.core.errors import ArtifactError

NAN = float("nan")


@dataclass(frozen=True)
class HarmonicSettings:
    """What is displaced.

    Attributes:
        material: Name of a molecule in ``MATERIALS``.
        displacement_A: Of one coordinate, to both sides.
        relaxation_fmax_eV_A: Largest force left at the minimum.
        relaxation_steps: At most; a molecule that needs more gives NaN and a note.
        imaginary_threshold_THz: Frequencies below minus this count as imaginary modes.
        top_modes: How many of the highest modes (bonds to hydrogen) are also averaged alone.
    """

    material: str = "ethanol"
    displacement_A: float = 0.01
    relaxation_fmax_eV_A: float = 1e-3
    relaxation_steps: int = 300
    imaginary_threshold_THz: float = 0.1
    top_modes: int = 6

    @classmethod
    def smoke(cls, material: str = "ethanol") -> "HarmonicSettings":
        """Quick: relaxed less far."""
        return cls(material=material, relaxation_fmax_eV_A=0.005, relaxation_steps=60)


@dataclass(frozen=True)
class HarmonicResult:
    """Vibrations of a molecule.

    Attributes:
        material: Its name.
        frequency_THz: In increasing order, without translations and rotations; negative where imaginary.
        reference_THz: Likewise; modes are paired by their order, which two of nearly one frequency can exchange.
        relative_shift: Model over reference minus one, for each mode; negative: red-shifted.
        rms_relative_shift: Over all modes.
        top_modes_relative_shift: Mean over the highest modes.
        imaginary_modes: How many lie below minus the threshold.
        imaginary_threshold_THz: That was used.
        notes: What could not be measured, and why.
    """

    material: str
    frequency_THz: list[float]
    reference_THz: list[float]
    relative_shift: list[float]
    rms_relative_shift: float
    top_modes_relative_shift: float
    imaginary_modes: int
    imaginary_threshold_THz: float
    notes: list[str]


def measure_harmonic(
    calculator: Calculator, settings: HarmonicSettings, reference: Reference | None = None
) -> HarmonicResult:
    """Relax a molecule and compare its harmonic frequencies.

    Args:
        calculator: Measured.
        settings: What is displaced.
        reference: Stored values, or a calculator whose own minimum is found likewise; without it, shifts are NaN.

    Raises:
        ArtifactError: The material is a crystal, or a setting is impossible.
    """
    molecule = material(settings.material).molecule()
    if settings.displacement_A <= 0 or settings.top_modes < 1:
        raise ArtifactError(f"harmonic frequencies need a positive displacement and number of modes, not {settings}.")
    found = relaxed_frequencies(calculator, molecule, settings)
    notes = []
    if np.isnan(found).any():
        notes.append(f"the molecule did not relax within {settings.relaxation_steps} steps")
    if isinstance(reference, StoredValues):
        expected = np.sort(list(reference.modes_THz.values()))
    elif reference is not None:
        expected = relaxed_frequencies(reference, molecule, settings)
    else:
        expected = np.full_like(found, NAN)
        notes.append("no reference, so no shifts")
    shift = found / expected - 1
    return HarmonicResult(
        material=settings.material,
        frequency_THz=found.tolist(),
        reference_THz=expected.tolist(),
        relative_shift=shift.tolist(),
        rms_relative_shift=float(np.sqrt((shift**2).mean())),
        top_modes_relative_shift=float(shift[-settings.top_modes :].mean()),
        imaginary_modes=int((found < -settings.imaginary_threshold_THz).sum()),
        imaginary_threshold_THz=settings.imaginary_threshold_THz,
        notes=notes,
    )


def relaxed_frequencies(calculator: Calculator, molecule: Atoms, settings: HarmonicSettings) -> np.ndarray:
    """Harmonic frequencies of the nearest minimum, increasing; all NaN where it is not reached.

    Args:
        calculator: Gives forces.
        molecule: Where the relaxation starts; it is not changed.
        settings: Relaxation and displacement.

    Returns:
        ``[3 atoms - 6]`` (``- 5`` for a linear molecule), THz.
    """
    atoms = molecule.copy()
    atoms.calc = calculator
    converged = BFGS(atoms, logfile=None).run(fmax=settings.relaxation_fmax_eV_A, steps=settings.relaxation_steps)
    if not converged:
        return np.full(3 * len(atoms) - _rigid_motions(atoms).shape[1], NAN)
    return harmonic_frequencies(atoms, settings.displacement_A)


def harmonic_frequencies(atoms: Atoms, displacement_A: float) -> np.ndarray:
    """Harmonic frequencies without the rigid motions, which are projected out of the mass-weighted Hessian.

    Args:
        atoms: At a minimum, with a calculator.
        displacement_A: Of one coordinate, to both sides.

    Returns:
        Increasing, THz; negative where the curvature is.
    """
    hessian = np.empty((3 * len(atoms), 3 * len(atoms)))
    for coordinate in range(3 * len(atoms)):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions.flat[coordinate] += sign * displacement_A
            forces.append(np.ravel(atoms.calc.get_forces(moved)))
        hessian[coordinate] = (forces[1] - forces[0]) / (2 * displacement_A)
    weights = np.repeat(atoms.get_masses() ** -0.5, 3)
    dynamical = weights[:, None] * (hessian + hessian.T) / 2 * weights
    rigid = _rigid_motions(atoms)
    internal = np.linalg.svd(rigid)[0][:, rigid.shape[1] :]
    curvature = np.linalg.eigvalsh(internal.T @ dynamical @ internal)
    angular = np.sign(curvature) * np.sqrt(np.abs(curvature))  # 1 / ASE time unit
    return angular / (2 * np.pi) * units.second * 1e-12


def _rigid_motions(atoms: Atoms) -> np.ndarray:
    """Orthonormal mass-weighted translations and rotations ``[3 atoms, 6]``, or 5 of a linear molecule."""
    arms = atoms.positions - atoms.get_center_of_mass()
    motions = [np.tile(axis, (len(atoms), 1)) for axis in np.eye(3)] + [np.cross(axis, arms) for axis in np.eye(3)]
    weighted = np.array([(np.sqrt(atoms.get_masses())[:, None] * motion).ravel() for motion in motions]).T
    vectors, sizes, _ = np.linalg.svd(weighted, full_matrices=False)
    return np.asarray(vectors[:, sizes > 1e-6 * sizes.max()])
