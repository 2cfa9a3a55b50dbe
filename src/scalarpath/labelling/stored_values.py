"""Stored values of the physical artifacts, from the labelled curves of a crystal or from GFN2-xTB for ethanol.

The result is the JSON file of a material in ``scalarpath/artifacts/stored``. Every value is taken as a model's is:
the same linear scales and fit, the same displacement of 0.01 Å, the same scans.
"""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import iread
from ase.io.formats import UnknownFileTypeError

from scalarpath.artifacts.materials import MATERIALS, Material, material
from scalarpath.artifacts.measures.elastic import SCALES, fit_equation_of_state
from scalarpath.artifacts.measures.harmonic import relaxed_frequencies
from scalarpath.artifacts.measures.repulsion import scan_distances
from scalarpath.artifacts.measures.walls import crystal_force, free_pair, wall_curve, wall_scans
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.artifacts.stored_values import StoredValues, WallCurve
from scalarpath.core.errors import DataError
from scalarpath.core.files import write_text
from scalarpath.labelling.curves import CURVES, frozen_phonon_frequency, phonon_patterns
from scalarpath.labelling.engines import tight_binding_calculator
from scalarpath.labelling.settings import CRYSTALS, Crystal

_AMPLITUDE_A = 0.01
_DIGITS = 6  # the labels' forces are good to about 0.001 eV/Å


def write_stored_values(data: Path, out: Path, names: tuple[str, ...] = tuple(MATERIALS)) -> list[Path]:
    """Write the files of stored values of materials.

    ``data``: folder with a folder per crystal (``si``), which holds dimer.extxyz, eos.extxyz and phonon.extxyz;
    ``out``: folder for the JSON files; made if absent; ``names``: which materials; ethanol needs tblite. Raises
    DataError when a file is missing, or lacks a frame or label that a value needs; MissingEngineError when tblite is
    not installed, and ethanol is asked for.
    """
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names:
        item = material(name)
        if item.is_crystal:
            values = crystal_values(data / name, CRYSTALS[name])
        else:
            values = molecule_values(item, tight_binding_calculator("GFN2-xTB", accuracy=0.01))
        path = out / f"{name}.json"
        write_text(path, values.to_json())
        paths.append(path)
    return paths


def crystal_values(folder: Path, crystal: Crystal) -> StoredValues:
    """Walls, modes and equation of state from labelled curves.

    ``folder``: holds dimer.extxyz, eos.extxyz and phonon.extxyz; ``crystal``: whose labels they are. Raises DataError
    when a file is missing, or lacks a frame or label that a value needs.
    """
    item = material(crystal.name)
    frames = {curve: _frames(folder / f"{curve}.extxyz") for curve in CURVES}
    modes, spread = _modes(frames["phonon"], crystal)
    state = _equation_of_state(frames["eos"], item)
    return StoredValues(
        material=item.name,
        provenance=_crystal_provenance(crystal),
        walls=_dimers(frames["dimer"], item) | {"crystal": _compressed_crystal(frames["eos"], item)},
        modes_THz=modes,
        equation_of_state=state,
        spread_THz=spread,
    )


def molecule_values(item: Material, calculator: Calculator) -> StoredValues:
    """Walls of the bonds and harmonic frequencies of a molecule, computed by GFN2-xTB.

    Raises DataError when the molecule did not relax.
    """
    settings = measure_settings(preset("full"), ("repulsion", "phonons"))
    frequencies = relaxed_frequencies(calculator, item.molecule(), settings["harmonic"])
    if np.isnan(frequencies).any():
        raise DataError(f"{item.name} did not relax, so it has no harmonic frequencies; allow more steps.")
    walls = {
        scan.name: _rounded(wall_curve(scan, calculator, scan_distances(scan, settings["repulsion"])))
        for scan in wall_scans(item, settings["repulsion"].bulk_repeat)
    }
    return StoredValues(
        material=item.name,
        provenance=(
            "GFN2-xTB by tblite 0.8.0, accuracy 0.01, as the frames of data/ethanol (accuracy 0.1). Walls: "
            "bonds of the molecule in the geometry of ASE's G2 set, with rigid parts. Modes: finite differences of "
            "0.01 Å at the relaxed minimum, rigid motions projected out, in increasing order."
        ),
        walls=walls,
        modes_THz={f"mode_{number:02d}": round(float(value), 5) for number, value in enumerate(frequencies, 1)},
    )


def _crystal_provenance(crystal: Crystal) -> str:
    grid = "x".join(map(str, crystal.kpoint_grid))
    return (
        f"GPAW 26.7.0 with gpaw-data 1.2.1: PBE, plane waves {crystal.plane_wave_cutoff:g} eV, Monkhorst-Pack {grid} "
        f"of the conventional cell, Fermi-Dirac {crystal.smearing:g} eV, spin-paired; the method that labelled "
        f"data/{crystal.name}. Walls: dimer.extxyz (forces), eos.extxyz (per atom, force from the Pulay-corrected "
        "stress). Modes: frozen phonons of phonon.extxyz displaced by 0.01 Å at the lattice constant "
        f"{crystal.lattice_constant:g} Å; spread over amplitudes up to 0.1 Å. Equation of state: Birch-Murnaghan at "
        f"linear scales {SCALES[0]} to {SCALES[-1]}."
    )


def _frames(path: Path) -> list[Atoms]:
    try:
        frames = list(iread(path))
    except (OSError, UnknownFileTypeError) as error:
        raise DataError(f"cannot read the labelled curve {path}: {error}.") from error
    for index, atoms in enumerate(frames):
        if atoms.calc is None or not {"energy", "forces"} <= set(atoms.calc.results):
            raise DataError(f"frame {index} of {path} needs energy and forces.")
    return frames


def _dimers(frames: list[Atoms], item: Material) -> dict[str, WallCurve]:
    walls = {}
    for symbols, length in item.dimers.items():
        scan = free_pair(*symbols, length)
        curve = sorted((atoms for atoms in frames if atoms.info["pair"] == scan.pair), key=_distance)
        walls[scan.name] = _rounded(
            WallCurve(
                distance_A=[_distance(atoms) for atoms in curve],
                energy_eV=[atoms.get_potential_energy() for atoms in curve],
                force_eV_A=[scan.along_line(atoms.get_forces()) for atoms in curve],
            )
        )
    return walls


def _distance(atoms: Atoms) -> float:
    return float(atoms.info["distance"])


def _compressed_crystal(frames: list[Atoms], item: Material) -> WallCurve:
    distances, forces = [], []
    curve = sorted(frames, key=_scale)
    for atoms in curve:
        distances.append(_scale(atoms) * item.nearest_neighbour)
        forces.append(crystal_force(atoms.get_stress(), atoms, distances[-1]))
    return _rounded(WallCurve(distances, [atoms.get_potential_energy() / len(atoms) for atoms in curve], forces))


def _scale(atoms: Atoms) -> float:
    return float(atoms.info["linear_scale"])


def _equation_of_state(frames: list[Atoms], item: Material) -> dict[str, float]:
    energies = {_scale(atoms): atoms.get_potential_energy() / len(atoms) for atoms in frames}
    missing = [scale for scale in SCALES if scale not in energies]
    if missing:
        raise DataError(f"the equation of state of '{item.name}' lacks cells at the linear scales {missing}.")
    fit = fit_equation_of_state(item, SCALES, [energies[scale] for scale in SCALES])
    return {
        "lattice_constant_A": round(fit.lattice_constant_A, _DIGITS),
        "energy_eV_atom": round(fit.energy_eV_atom, _DIGITS),
        "bulk_modulus_GPa": round(fit.bulk_modulus_GPa, 3),
    }


def _modes(frames: list[Atoms], crystal: Crystal) -> tuple[dict[str, float], dict[str, float]]:
    """Frequency at the smallest amplitude, over both signs, and the range over all amplitudes; THz by mode."""
    modes, spread = {}, {}
    for name, pattern in phonon_patterns(crystal).items():
        curve = [atoms for atoms in frames if atoms.info["mode"] == name]
        smallest = [atoms for atoms in curve if abs(abs(atoms.info["amplitude"]) - _AMPLITUDE_A) < 1e-9]
        if len(smallest) != 2:
            raise DataError(f"mode {name} of '{crystal.name}' needs frames at amplitudes of both +0.01 and -0.01 Å.")
        found = [frozen_phonon_frequency(atoms, pattern) for atoms in curve]
        both = [frozen_phonon_frequency(atoms, pattern) for atoms in smallest]
        modes[name] = round(sum(both) / 2, 5)
        spread[name] = round(max(found) - min(found), 5)
    return modes, spread


def _rounded(curve: WallCurve) -> WallCurve:
    return WallCurve(
        distance_A=[round(value, _DIGITS) for value in curve.distance_A],
        energy_eV=[round(float(value), _DIGITS) for value in curve.energy_eV],
        force_eV_A=[round(float(value), _DIGITS) for value in curve.force_eV_A],
    )
