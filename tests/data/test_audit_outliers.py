"""Damaged labels and energies that cannot be what they are called."""

import ase.io
import numpy as np
import pytest
from ase import Atoms, units

from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.data.audit import audit_labels
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.reading import Frame

STRESSED = ("energy", "forces", "stress")


def audit(frames, required=("energy", "forces"), files=None, **spec):
    files = files or ["set.extxyz"] * len(frames)
    frames = [Frame(atoms, file, k) for k, (atoms, file) in enumerate(zip(frames, files, strict=True))]
    spec = DataConfig.read({"path": "x", **spec})
    keys = find_keys(frames, spec)
    labels = [extract_labels(f, keys, spec) for f in frames]
    return audit_labels(frames, labels, keys, spec, frozenset(required))


def bundled(name, file="frames.extxyz"):
    return ase.io.read(BUNDLED_DIR / name / file, ":")


def energy(value):
    return lambda atoms: atoms.calc.results.update(energy=value)


def force(value):
    return lambda atoms: atoms.calc.results["forces"].__setitem__((3, 1), value)


def stress(value):
    return lambda atoms: atoms.calc.results.update(stress=np.array([value, *atoms.calc.results["stress"].flat[1:6]]))


def positions_as_forces(atoms):
    atoms.calc.results["forces"] = atoms.positions.copy()


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("si", energy(-1.0), "an energy of -1 eV"),
        ("si", energy(-390.0), "an energy of -390 eV"),
        ("si", energy(41.7), "an energy of 41.7 eV"),
        ("si", force(2.6e9), "a force of 2.6e+09 eV/Å"),
        ("si", force(200.0), "a force of 200 eV/Å"),
        ("si", stress(-5e16), "a stress of 5e+16 eV/Å^3"),
        ("si", stress(12.0), "a stress of 12 eV/Å^3"),
        ("ethanol", energy(-1.0), "an energy of -1 eV"),
        ("ethanol", energy(-390.0), "contradict"),
        ("lif_bm", force(-3e4), "a force of 3e+04 eV/Å"),
    ],
)
def test_one_damaged_label_stops_and_is_named(name, damage, said):
    frames = bundled(name)
    if name != "ethanol":
        frames[50].calc.results["stress"] = frames[50].get_stress()  # six numbers
    damage(frames[50])
    found = audit(frames, STRESSED if name != "ethanol" else ("energy", "forces")).suspicions
    assert found[0].startswith("set.extxyz, frame 50: ")
    assert said in found[0]
    assert "data.on_suspicious=warn" in found[0]


def test_columns_of_one_frame_that_are_shifted_stop():
    frames = bundled("si")
    positions_as_forces(frames[50])
    (said,) = audit(frames).suspicions
    assert said.startswith("set.extxyz, frame 50: the forces add up to 28.5 eV/Å")
    for atoms in frames:  # of a slab on fixed layers this is so in every frame
        positions_as_forces(atoms)
    assert not any("add up" in text for text in audit(frames).suspicions)


@pytest.mark.parametrize("name", ["si", "lif", "ag"])
def test_scans_of_the_repulsion_are_no_damage(name):
    assert audit([*bundled(name), *bundled(name, "dimer.extxyz")]).suspicions == []


def test_a_thousand_electronvolt_per_angstrom_are_right_where_atoms_are_that_close():
    frames = bundled("si")
    for distance in (0.5, 0.6, 0.8):
        atoms = Atoms("Si2", [[0, 0, 0], [0, 0, distance]])
        push = 800.0 * np.exp(-3.0 * (distance - 0.5))
        atoms.calc = frames[0].calc.__class__(atoms, energy=250.0, forces=[[0, 0, -push], [0, 0, push]])
        frames.append(atoms)
    assert audit(frames).suspicions == []


def test_many_forces_beyond_all_limits_are_a_unit():
    rng, frames = np.random.default_rng(0), []
    for atoms in bundled("si")[:40]:  # no two frames are close
        atoms.positions += rng.normal(0, 0.5, atoms.positions.shape)
        atoms.calc.results["forces"] *= 1e5
        atoms.calc.atoms = atoms
        frames.append(atoms)
    found = audit(frames).suspicions
    assert "check the units" in found[0] or "data.forces_unit" in found[0]


def test_energies_below_those_of_all_electrons_are_in_another_unit():
    frames = bundled("ethanol")[:50]
    for atoms in frames:
        for name in ("energy", "forces"):  # consistent, so that pairs of frames say nothing
            atoms.calc.results[name] = atoms.calc.results[name] * units.mol / units.kcal
    found = audit(frames).suspicions
    assert any("bound by" in text and "data.energy_unit=kcal/mol" in text for text in found)
    assert audit(frames, energy_unit="kcal/mol", forces_unit="kcal/mol/A").suspicions == []


def test_files_of_one_frame_each_are_not_compared_with_the_first():
    """As runs of VASP in a folder each: by what a file of one frame varies nobody knows."""
    frames = bundled("si_sw")[:60]
    report = audit(frames, files=[f"{number}/vasprun.xml" for number in range(len(frames))])
    assert not any("its energies lie" in text for text in [*report.warnings, *report.suspicions])


@pytest.mark.parametrize(("shift", "notes", "stops"), [(0.0, 0, 0), (5.0, 1, 0), (150.0, 0, 1)])
def test_another_reference_in_a_file_of_its_own_is_seen(shift, notes, stops):
    frames = bundled("ag_eam")
    test = frames[250:]
    for atoms in test:
        atoms.calc.results["energy"] += shift * len(atoms)
    files = ["train.xyz"] * 250 + ["test.xyz"] * len(test)
    report = audit(frames, files=files)
    assert sum("test.xyz: its energies lie" in text for text in report.warnings) == notes
    assert sum("test.xyz: its energies lie" in text for text in report.suspicions) == stops


@pytest.mark.parametrize(("reference", "stops"), [(-0.8, False), (-7900.0, True), (120.0, True)])
def test_isolated_atoms_of_another_calculation_stop(reference, stops):
    frames = bundled("si")
    atom = Atoms("Si", cell=[15] * 3, pbc=True)
    atom.calc = frames[0].calc.__class__(atom, energy=reference, forces=np.zeros((1, 3)), stress=np.zeros(6))
    found = audit([*frames, atom]).suspicions
    assert bool(found) == stops
    assert not stops or f"frame {len(frames)}: relative to isolated atoms" in found[0]


def test_settings_of_a_run_that_has_begun_do_not_refuse_its_data():
    assert DataConfig.read({"path": "x"}).accepted().on_suspicious == "warn"
