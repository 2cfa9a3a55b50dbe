"""Force constants of a crystal from finite displacements, the modes that are compared, and the path of its bands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.cell import Cell
from ase.dft.kpoints import BandPath
from ase.optimize import BFGS

from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.ranges import Cells, Displacement, ForceLeft, RelaxationSteps, Threshold
from scalarpath.core.errors import ArtifactError
from scalarpath.core.settings import Range

if TYPE_CHECKING:
    from phonopy import Phonopy

_X_POINT = (0.5, 0.5, 0.0)
_ACOUSTIC = 3
_BAND_PATH = "GXWKGL"  # of face-centred lattices
_SAME_SITE_A = 1e-3  # files have rounded positions


@dataclass(frozen=True)
class PhononSettings:
    """What is displaced.

    displacement_A: of one atom, to both sides; supercell_repeat: conventional cells along each axis; band_points: on
    the path through the Brillouin zone; imaginary_threshold_THz: frequencies below minus this are imaginary modes;
    relaxation_fmax_eV_A, relaxation_steps: largest force left on the atoms of a structure of one's own before they are
    displaced, and after how many steps at most.
    """

    displacement_A: Displacement
    supercell_repeat: Cells
    band_points: Annotated[int, Range(at_least=2, at_most=100_000)]
    imaginary_threshold_THz: Threshold
    relaxation_fmax_eV_A: ForceLeft
    relaxation_steps: RelaxationSteps


def crystal_phonons(
    calculator: Calculator,
    crystal: Material,
    settings: PhononSettings,
    lattice_constant_A: float | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Phonopy:
    """Force constants of a crystal in a supercell of conventional cells.

    Both signs of every displacement are computed, so that cubic anharmonicity cancels. Atoms that symmetry does not
    hold are relaxed before: raises ArtifactError where that does not end.
    """
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms
    from phonopy.structure.cells import guess_primitive_matrix

    primitive = crystal.primitive_cell(lattice_constant_A)
    if not crystal.is_prototype:
        _relax(primitive, calculator, settings)
    cell = PhonopyAtoms(
        symbols=primitive.get_chemical_symbols(),
        cell=primitive.cell.array,
        scaled_positions=primitive.get_scaled_positions(),
        masses=primitive.get_masses(),
    )
    supercell = crystal.supercell_matrix(settings.supercell_repeat)
    how: dict[str, Any] = {"primitive_matrix": np.eye(3)}
    if not crystal.is_prototype:
        how = {"primitive_matrix": guess_primitive_matrix(cell, symprec=_SAME_SITE_A), "symprec": _SAME_SITE_A}
    phonon = Phonopy(cell, supercell_matrix=supercell, log_level=0, **how)
    phonon.generate_displacements(distance=settings.displacement_A, is_plusminus=True)
    displaced = phonon.supercells_with_displacements or []
    forces = []
    for number, item in enumerate(displaced):
        atoms = Atoms(item.symbols, scaled_positions=item.scaled_positions, cell=item.cell, pbc=True)
        forces.append(calculator.get_forces(atoms))
        if progress is not None:
            progress(number + 1, len(displaced))
    phonon.forces = forces
    phonon.produce_force_constants(show_drift=False)
    phonon.symmetrize_force_constants(show_drift=False)
    return phonon


def crystal_modes(phonon: Phonopy, crystal: Material) -> dict[str, float]:
    """Frequencies (THz) of the modes that symmetry determines.

    The optical modes at Gamma of diamond (all degenerate) and rocksalt (transverse: short-ranged force constants do not
    split longitudinal from transverse); the longitudinal and transverse modes at X of fcc, which has no optical branch.
    Of a structure of one's own: ``mean_frequency`` and ``highest_frequency`` over the wave vectors that fit the
    supercell, and the optical modes ``Gamma_lowest_optical`` and ``Gamma_highest_optical``, where there are any.
    """
    if not crystal.is_prototype:
        every = _fitting_frequencies(phonon)
        modes = {"mean_frequency": float(every.mean()), "highest_frequency": float(every.max())}
        optical = np.sort(_optical(phonon))
        if len(optical):
            modes |= {"Gamma_lowest_optical": float(optical[0]), "Gamma_highest_optical": float(optical[-1])}
        return modes
    if crystal.structure == "fcc":
        frequencies, vectors = phonon.get_frequencies_with_eigenvectors(_X_POINT)
        direction = np.linalg.inv(phonon.primitive.cell) @ np.array(_X_POINT)
        along = np.abs(direction / np.linalg.norm(direction) @ vectors)
        longitudinal = int(np.argmax(along))
        return {"X_L": float(frequencies[longitudinal]), "X_T": float(np.delete(frequencies, longitudinal).mean())}
    return {"Gamma_O" if crystal.structure == "diamond" else "Gamma_TO": float(_optical(phonon).mean())}


def band_path(phonon: Phonopy, crystal: Material, points: int) -> BandPath:
    """Through the Brillouin zone of the primitive cell: the usual one of its lattice, or to three faces of the zone."""
    cell = Cell(phonon.primitive.cell)
    if crystal.is_prototype:
        return cell.bandpath(_BAND_PATH, npoints=points)
    try:
        return cell.bandpath(npoints=points)
    except (RuntimeError, ValueError):  # no lattice of ASE's list within its tolerance
        faces: dict[str, list[float]] = {"G": [0, 0, 0], "X": [0.5, 0, 0], "Y": [0, 0.5, 0], "Z": [0, 0, 0.5]}
        return cell.bandpath("XGYGZ", npoints=points, special_points=faces)


def path_axis(path: BandPath) -> tuple[np.ndarray, list[float], list[str]]:
    """Distance of every point along the path, and the corners; where the path jumps, two in one: ``U|K``."""
    distance, ticks, labels = path.get_linear_kpoint_axis()
    corners: dict[float, str] = {}
    for at, label in zip(ticks.tolist(), labels, strict=True):
        corners[at] = f"{corners[at]}|{label}" if at in corners else label
    return distance, list(corners), list(corners.values())


def imaginary_modes(phonon: Phonopy, threshold_THz: float) -> tuple[int, int]:
    """Modes below minus the threshold, and all that are counted: those that fit the supercell but the three at rest."""
    frequencies = _fitting_frequencies(phonon)
    return int((frequencies < -threshold_THz).sum()), frequencies.size - _ACOUSTIC


def _optical(phonon: Phonopy) -> np.ndarray:
    """Frequencies (THz) at Gamma without the three nearest to zero."""
    frequencies = np.asarray(phonon.get_frequencies([0, 0, 0]))
    return frequencies[np.argsort(np.abs(frequencies))[_ACOUSTIC:]]


def _relax(atoms: Atoms, calculator: Calculator, settings: PhononSettings) -> None:
    """Relax atoms in their cell, in place."""
    atoms.calc, steps = calculator, settings.relaxation_steps
    if not BFGS(atoms, logfile=None).run(fmax=settings.relaxation_fmax_eV_A, steps=steps):
        raise ArtifactError(f"the atoms did not relax in {steps} steps; raise settings.phonons.relaxation_steps.")


def _fitting_frequencies(phonon: Phonopy) -> np.ndarray:
    """Frequencies (THz) at all wave vectors that fit the supercell, [points, branches]."""
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    # phonopy has the axes as columns
    matrix = np.linalg.solve(phonon.primitive.cell.T, phonon.supercell.cell.T)
    return np.asarray(phonon.run_qpoints(get_commensurate_points(np.rint(matrix).astype(int))).frequencies)
