"""Phonons of crystals: modes that symmetry singles out, signed shifts against a reference, bands, imaginary modes.

Finite displacements in a supercell with phonopy (Togo, Chaput, Tadano and Tanaka, J. Phys.: Condens. Matter 35, 353001,
2023). Modes whose wave vector fits the supercell, as those compared here do, are exact whatever its size; the bands
between them are interpolated and need force constants that end within the supercell.
"""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points
from phonopy.structure.atoms import PhonopyAtoms

from scalarpath.artifacts.materials import Material, material
from scalarpath.artifacts.measures.elastic import equation_of_state
from scalarpath.artifacts.stored_values import Reference, StoredValues
from scalarpath.core.errors import ArtifactError

NAN = float("nan")
_CONVENTIONAL = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])  # cubic axes in the primitive ones of ase.build.bulk
_X_POINT = (0.5, 0.5, 0.0)
_ACOUSTIC = 3
_BAND_PATH = "GXWKGL"


@dataclass(frozen=True)
class PhononSettings:
    """What is displaced.

    Attributes:
        material: Name of a crystal in ``MATERIALS``.
        displacement_A: Of one atom, to both sides.
        supercell_repeat: Conventional cells along each axis.
        band_points: On the path through the Brillouin zone.
        imaginary_threshold_THz: Frequencies below minus this count as imaginary modes.
    """

    material: str = "si"
    displacement_A: float = 0.01
    supercell_repeat: int = 3
    band_points: int = 201
    imaginary_threshold_THz: float = 0.1

    @classmethod
    def smoke(cls, material: str = "si") -> "PhononSettings":
        """Quick: a smaller supercell."""
        return cls(material=material, supercell_repeat=2, band_points=101)


@dataclass(frozen=True)
class ModeResult:
    """One mode.

    Attributes:
        name: ``Gamma_O``, ``Gamma_TO``, ``X_L`` or ``X_T``.
        reference_THz, frequency_THz: At the reference lattice constant; negative where the mode is imaginary.
        relative_shift: Model over reference minus one; negative: red-shifted.
        own_lattice_frequency_THz: At ``PhononResult.own_lattice_constant_A``.
        own_lattice_relative_shift: That frequency against ``reference_THz``.
    """

    name: str
    reference_THz: float
    frequency_THz: float
    relative_shift: float
    own_lattice_frequency_THz: float
    own_lattice_relative_shift: float


@dataclass(frozen=True)
class PhononResult:
    """Phonons of a crystal.

    Attributes:
        material: Its name.
        modes: The modes that are compared.
        rms_relative_shift, own_lattice_rms_relative_shift: Over the modes with a reference.
        lattice_constant_A: The reference lattice constant; bands and imaginary modes are taken at it.
        own_lattice_constant_A: As far from the model's equilibrium as the reference lattice constant is from that of
            the reference, so that a perfect model has no shift; if the latter is unknown, the model's equilibrium.
        band_distance: Along the path, 1/Å.
        band_frequency_THz: Branches at each point ``[points][branches]``.
        band_tick_distance, band_tick_labels: Corners of the path.
        imaginary_modes, counted_modes: Over the wave vectors that fit the supercell, without the three at rest.
        imaginary_threshold_THz: That was used.
        lowest_band_frequency_THz: Along the (interpolated) path.
        notes: What could not be measured, and why.
    """

    material: str
    modes: list[ModeResult]
    rms_relative_shift: float
    own_lattice_rms_relative_shift: float
    lattice_constant_A: float
    own_lattice_constant_A: float
    band_distance: list[float]
    band_frequency_THz: list[list[float]]
    band_tick_distance: list[float]
    band_tick_labels: list[str]
    imaginary_modes: int
    counted_modes: int
    imaginary_threshold_THz: float
    lowest_band_frequency_THz: float
    notes: list[str]


def measure_phonons(
    calculator: Calculator, settings: PhononSettings, reference: Reference | None = None
) -> PhononResult:
    """Phonons of a crystal at the reference lattice constant and at the model's own.

    Args:
        calculator: Measured.
        settings: What is displaced.
        reference: Stored values, or a calculator that is measured as the model is; without it, shifts are NaN.

    Raises:
        ArtifactError: The material is no crystal, or a setting is impossible.
    """
    crystal = material(settings.material)
    if settings.displacement_A <= 0 or settings.supercell_repeat < 1 or settings.band_points < 2:
        raise ArtifactError(f"phonons need a positive displacement, supercell and number of points, not {settings}.")
    phonon = crystal_phonons(calculator, crystal.primitive_cell(), settings)
    found = crystal_modes(phonon, crystal)
    expected, own_lattice, notes = _reference_and_own_lattice(calculator, crystal, settings, reference)
    own = dict.fromkeys(found, NAN)
    if np.isfinite(own_lattice):
        own = crystal_modes(crystal_phonons(calculator, crystal.primitive_cell(own_lattice), settings), crystal)
    modes = [
        ModeResult(
            name=name,
            reference_THz=expected.get(name, NAN),
            frequency_THz=found[name],
            relative_shift=found[name] / expected.get(name, NAN) - 1,
            own_lattice_frequency_THz=own[name],
            own_lattice_relative_shift=own[name] / expected.get(name, NAN) - 1,
        )
        for name in found
    ]
    path = crystal.primitive_cell().cell.bandpath(_BAND_PATH, npoints=settings.band_points)
    distance, ticks, labels = path.get_linear_kpoint_axis()
    bands = phonon.run_qpoints(path.kpts).frequencies
    imaginary, counted = _imaginary_modes(phonon, settings.imaginary_threshold_THz)
    return PhononResult(
        material=crystal.name,
        modes=modes,
        rms_relative_shift=_rms([mode.relative_shift for mode in modes]),
        own_lattice_rms_relative_shift=_rms([mode.own_lattice_relative_shift for mode in modes]),
        lattice_constant_A=crystal.lattice_constant_A,
        own_lattice_constant_A=own_lattice,
        band_distance=[float(at) for at in distance],
        band_frequency_THz=[[float(value) for value in point] for point in bands],
        band_tick_distance=[float(at) for at in ticks],
        band_tick_labels=list(labels),
        imaginary_modes=imaginary,
        counted_modes=counted,
        imaginary_threshold_THz=settings.imaginary_threshold_THz,
        lowest_band_frequency_THz=float(bands.min()),
        notes=notes,
    )


def crystal_phonons(calculator: Calculator, primitive: Atoms, settings: PhononSettings) -> Phonopy:
    """Force constants of a face-centred crystal in a supercell of conventional cells.

    Both signs of every displacement are computed, so that cubic anharmonicity cancels.
    """
    cell = PhonopyAtoms(
        symbols=primitive.get_chemical_symbols(),
        cell=primitive.cell.array,
        scaled_positions=primitive.get_scaled_positions(),
        masses=primitive.get_masses(),
    )
    supercell = settings.supercell_repeat * _CONVENTIONAL
    phonon = Phonopy(cell, supercell_matrix=supercell, primitive_matrix=np.eye(3), log_level=0)
    phonon.generate_displacements(distance=settings.displacement_A, is_plusminus=True)
    phonon.forces = [
        calculator.get_forces(Atoms(item.symbols, scaled_positions=item.scaled_positions, cell=item.cell, pbc=True))
        for item in phonon.supercells_with_displacements or []
    ]
    phonon.produce_force_constants(show_drift=False)
    phonon.symmetrize_force_constants(show_drift=False)
    return phonon


def crystal_modes(phonon: Phonopy, crystal: Material) -> dict[str, float]:
    """Frequencies (THz) of the modes that symmetry determines.

    The optical modes at Gamma of diamond (all degenerate) and rocksalt (transverse: short-ranged force constants do not
    split longitudinal from transverse); the longitudinal and transverse modes at X of fcc, which has no optical branch.
    """
    if crystal.structure == "fcc":
        frequencies, vectors = phonon.get_frequencies_with_eigenvectors(_X_POINT)
        direction = np.linalg.inv(phonon.primitive.cell) @ np.array(_X_POINT)
        along = np.abs(direction / np.linalg.norm(direction) @ vectors)
        longitudinal = int(np.argmax(along))
        return {"X_L": float(frequencies[longitudinal]), "X_T": float(np.delete(frequencies, longitudinal).mean())}
    frequencies = np.asarray(phonon.get_frequencies([0, 0, 0]))
    optical = frequencies[np.argsort(np.abs(frequencies))[_ACOUSTIC:]]
    return {"Gamma_O" if crystal.structure == "diamond" else "Gamma_TO": float(optical.mean())}


def _reference_and_own_lattice(
    calculator: Calculator,
    crystal: Material,
    settings: PhononSettings,
    reference: Reference | None,
) -> tuple[dict[str, float], float, list[str]]:
    own = equation_of_state(calculator, crystal).lattice_constant_A
    notes = [] if np.isfinite(own) else ["the model has no equilibrium lattice constant near the reference's"]
    if reference is None:
        return {}, own, [*notes, "no reference, so no shifts"]
    if isinstance(reference, StoredValues):
        expected = reference.modes_THz
        equilibrium = reference.equation_of_state.get("lattice_constant_A", NAN)
    else:
        expected = crystal_modes(crystal_phonons(reference, crystal.primitive_cell(), settings), crystal)
        equilibrium = equation_of_state(reference, crystal).lattice_constant_A
    if np.isnan(equilibrium):
        return expected, own, [*notes, "the reference's equilibrium is unknown: own lattice is the model's equilibrium"]
    return expected, own * crystal.lattice_constant_A / equilibrium, notes


def _imaginary_modes(phonon: Phonopy, threshold_THz: float) -> tuple[int, int]:
    points = get_commensurate_points(np.rint(phonon.supercell_matrix).astype(int))
    frequencies = phonon.run_qpoints(points).frequencies
    return int((frequencies < -threshold_THz).sum()), frequencies.size - _ACOUSTIC


def _rms(shifts: list[float]) -> float:
    known = np.array(shifts)[np.isfinite(shifts)]
    return float(np.sqrt((known**2).mean())) if len(known) else NAN
