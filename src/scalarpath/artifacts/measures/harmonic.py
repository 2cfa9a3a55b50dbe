"""Harmonic frequencies of a molecule at the model's own minimum: what phonons are for a crystal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.optimize import BFGS

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.measure import Claim, Measure, Measurement, Progress
from scalarpath.artifacts.ranges import Displacement, ForceLeft, RelaxationSteps, Threshold
from scalarpath.artifacts.rows import Row, compared
from scalarpath.artifacts.stored_values import Reference, StoredValues
from scalarpath.core.figures import MODEL, blank
from scalarpath.core.settings import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class HarmonicSettings:
    """What is displaced.

    displacement_A: of one coordinate, to both sides; relaxation_fmax_eV_A: largest force left at the minimum;
    relaxation_steps: at most, a molecule that needs more gives NaN and a note; imaginary_threshold_THz: frequencies
    below minus this are imaginary modes; top_modes: how many of the highest modes (bonds to hydrogen) are also averaged
    alone.
    """

    displacement_A: Displacement
    relaxation_fmax_eV_A: ForceLeft
    relaxation_steps: RelaxationSteps
    imaginary_threshold_THz: Threshold
    top_modes: Count


@dataclass(frozen=True)
class HarmonicResult:
    """Vibrations of a molecule.

    frequency_THz: in increasing order, without translations and rotations, negative where imaginary; reference_THz:
    likewise, modes are paired by their order, which two of nearly one frequency can exchange; relative_shift: model
    over reference minus one, for each mode, negative: red-shifted; rms_relative_shift: over all modes;
    top_modes_relative_shift: mean over the highest modes; imaginary_modes: how many lie below minus the threshold;
    notes: what could not be measured, and why.
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


class Harmonic(Measure[HarmonicSettings]):
    """Frequencies of a molecule."""

    name = "phonons"
    section = "harmonic"
    settings = HarmonicSettings
    for_crystals = False
    claim = Claim(
        "less shifted phonons", "mean |relative error| of the modes", "highest_mode_THz", "error", over_rows=np.mean
    )

    def measure(
        self, bench: Bench, settings: HarmonicSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        progress("phonons", 0, 0)
        model = measure_harmonic(bench.calculator, bench.material, settings, bench.reference)
        return Measurement({"model": model}, {"material": bench.material.name, **asdict(settings)})

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        result: HarmonicResult = measurement.results["model"]
        note = "; ".join(result.notes) or "at the model's own minimum"
        highest = max(result.frequency_THz), max(result.reference_THz)
        yield compared("highest_mode_THz", "highest mode", "THz", *highest, relative=True, note=note)
        top, rms = 100 * result.top_modes_relative_shift, 100 * result.rms_relative_shift
        yield compared("top_modes_shift_percent", "shift of the highest modes", "%", top, 0.0, note="mean, bonds to H")
        yield compared("rms_shift_percent", "shift of all modes", "%", rms, 0.0, note="root mean square")
        yield compared("imaginary_modes", "imaginary modes", "", float(result.imaginary_modes), 0.0)

    def figure(self, measurement: Measurement) -> Figure | None:
        """The shift of every frequency."""
        result: HarmonicResult = measurement.results["model"]
        if not np.isfinite(result.relative_shift).any():
            return None
        figure = blank(4.6, 3.2)
        axis = figure.subplots()
        axis.axhline(0.0, color="0.6", lw=0.8)
        axis.vlines(result.reference_THz, 0.0, 100 * np.array(result.relative_shift), color=MODEL, lw=1.0)
        axis.plot(result.reference_THz, 100 * np.array(result.relative_shift), "o", ms=4, color=MODEL)
        axis.set(xlabel="reference frequency (THz)", ylabel="shift (%), negative: too soft", title=result.material)
        return figure


def measure_harmonic(
    calculator: Calculator, material: Material, settings: HarmonicSettings, reference: Reference | None = None
) -> HarmonicResult:
    """Relax a molecule and compare its harmonic frequencies. Without a reference, shifts are NaN.

    A calculator as reference has its own minimum. Raises ArtifactError for a crystal.
    """
    molecule = material.molecule()
    found = relaxed_frequencies(calculator, molecule, settings)
    notes = []
    if np.isnan(found).any():
        notes.append(f"the molecule did not relax within {settings.relaxation_steps} steps")
    if isinstance(reference, StoredValues):
        expected = np.sort(list(reference.modes_THz.values()))
    elif reference is not None:
        expected = relaxed_frequencies(reference, molecule, settings)
    else:
        expected = np.full_like(found, np.nan)
        notes.append("no reference, so no shifts")
    shift = found / expected - 1
    return HarmonicResult(
        material=material.name,
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
    """Harmonic frequencies (THz) of the nearest minimum, increasing; all NaN where it is not reached.

    molecule: where the relaxation starts, it is not changed. Shape [3 atoms - 6], or [3 atoms - 5] if it is linear.
    """
    atoms = molecule.copy()
    atoms.calc = calculator
    converged = BFGS(atoms, logfile=None).run(fmax=settings.relaxation_fmax_eV_A, steps=settings.relaxation_steps)
    if not converged:
        return np.full(3 * len(atoms) - _rigid_motions(atoms).shape[1], np.nan)
    return harmonic_frequencies(atoms, settings.displacement_A)


def harmonic_frequencies(atoms: Atoms, displacement_A: float) -> np.ndarray:
    """Harmonic frequencies (THz), increasing, negative where the curvature is.

    Rigid motions are projected out of the mass-weighted Hessian. atoms: at a minimum, with a calculator;
    displacement_A: of one coordinate, to both sides.
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
