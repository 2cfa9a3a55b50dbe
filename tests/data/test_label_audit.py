import io
import json

import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa
from rich.console import Console

from scalarpath.core.errors import DataError
from scalarpath.data.audit import audit_labels, note_isolated_atoms
from scalarpath.data.audit.stress import has_vacuum, sign_evidence
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.reading import Frame


def audit(atoms_list, required=("energy", "forces", "stress"), **spec):
    frames, spec = (
        [Frame(atoms, "set.extxyz", k) for k, atoms in enumerate(atoms_list)],
        DataConfig.read({"path": "x", **spec}),
    )
    keys = find_keys(frames, spec)
    labels = [extract_labels(frame, keys, spec) for frame in frames]
    return audit_labels(frames, labels, keys, spec, frozenset(required))


@pytest.fixture
def compressed(with_labels):
    """Cells of many volumes whose stress is that of a bulk modulus of 90 GPa around 20 Å^3 per atom."""

    def compressed(sign=1.0, unit=GPa):
        frames = []
        for scale in np.linspace(0.9, 1.1, 9):
            atoms = bulk("Si", a=160 ** (1 / 3), cubic=True)
            atoms.set_cell(atoms.cell * scale, scale_atoms=True)
            stress = sign * 90 * (scale**3 - 1) * unit
            with_labels(atoms, energy=-40.0, forces=np.zeros((8, 3)) + 1e-3, stress=[stress] * 3 + [0.0] * 3)
            frames.append(atoms)
        return frames

    return compressed


def test_counts_ranges_units_and_sign(make_silicon):
    frames = make_silicon(4)
    frames[0].calc.results.pop("stress")
    report = audit(frames)
    energy, forces, stress = report.properties
    assert (energy.frames, forces.frames, stress.frames) == (4, 4, 3)
    assert energy.minimum == min(a.get_potential_energy() / 8 for a in frames)
    assert forces.maximum == max(a.get_forces().max() for a in frames)
    assert (stress.source_unit, stress.sign) == ("eV/A^3", "tension_positive, xx yy zz yz xz xy")
    assert report.elements == {"Si": 32}
    assert report.largest_net_force < 1e-12
    assert report.warnings == report.suspicions == []


def test_json_is_plain_and_table_shows_the_warnings(make_silicon):
    frames = make_silicon(2)
    frames[1].calc.results["forces"][0] += 90.0
    report = audit(frames)
    report.warnings.append("split01.extxyz[.xz] is not markup")
    assert json.loads(json.dumps(report.to_json()))["warnings"] == report.warnings
    screen = Console(file=io.StringIO(), width=300)
    screen.print(report.render())
    text = screen.file.getvalue()
    assert "energy" in text
    assert "set.extxyz, frame 1: the largest force" in text
    assert "forces add up to" in text
    assert "extxyz[.xz]" in text


def test_property_of_the_loss_that_no_frame_carries_lists_the_keys(make_silicon):
    frames = make_silicon(2)
    for atoms in frames:
        atoms.calc.results.pop("forces")
        atoms.info["grad"] = 1.0
    expected = r"loss weighs forces but no frame carries it \(keys: config_type, energy, grad, stress\)"
    with pytest.raises(DataError, match=expected):
        audit(frames, {"energy", "forces"})
    assert audit(frames, {"energy"}).properties[1].frames == 0


def test_right_sign_is_silent_and_wrong_sign_is_suspicious(compressed):
    assert audit(compressed()).suspicions == []
    (suspicion,) = audit(compressed(sign=-1.0)).suspicions
    assert "sign" in suspicion
    assert audit(compressed(sign=-1.0), stress_sign="compression_positive").suspicions == []


@pytest.mark.parametrize(("unit", "name"), [(1.0, "GPa"), (10.0, "kbar")])
def test_stress_in_another_unit_is_suspicious(compressed, unit, name):
    (suspicion,) = audit(compressed(unit=unit)).suspicions
    assert f"looks like {name}" in suspicion
    assert audit(compressed(unit=unit), stress_unit=name).suspicions == []


def test_label_that_the_loss_does_not_weigh_is_only_warned_about(compressed):
    report = audit(compressed(unit=10.0), required={"energy", "forces"})
    assert report.suspicions == []
    assert "looks like kbar" in report.warnings[0]


def test_no_verdict_on_the_sign_at_one_volume(make_silicon):
    frames = [Frame(atoms, "set", k) for k, atoms in enumerate(make_silicon(8))]
    spec = DataConfig.read({"path": "x"})
    labels = [extract_labels(frame, find_keys(frames, spec), spec) for frame in frames]
    assert sign_evidence(frames, labels, range(8)) is None


def test_the_sign_is_judged_over_all_compositions_and_without_cells_with_vacuum(compressed, with_labels):
    """Many slabs, whose stress says nothing about their volume, do not hide that the sign of the crystals is wrong."""
    crystals = compressed(sign=-1.0)
    others = [atoms.copy() for atoms in crystals[:6]]
    for atoms, like in zip(others, crystals, strict=False):
        atoms.symbols[0] = "Ge"
        with_labels(atoms, energy=-40.0, forces=np.full((8, 3), 1e-3), stress=like.calc.results["stress"])
    slabs = []
    for k in range(40):
        atoms = bulk("Si", a=5.43, cubic=True)
        atoms.cell[2, 2] += 8.0 + 0.1 * k
        stress = [1e-3 * (k + 1)] * 3 + [0.0] * 3  # with the right sign, if it were a crystal
        slabs.append(with_labels(atoms, energy=-40.0, forces=np.full((8, 3), 1e-3), stress=stress))
    assert any("its sign looks opposite" in text for text in audit([*slabs, *crystals, *others]).suspicions)
    assert not audit([*slabs, *compressed()]).suspicions
    assert [has_vacuum(frames[0]) for frames in (slabs, crystals)] == [True, False]


def test_energy_of_exactly_zero_is_suspicious(make_silicon):
    frames = make_silicon(3)
    frames[2].calc.results["energy"] = 0.0
    (suspicion,) = audit(frames).suspicions
    assert "set.extxyz, frame 2: the energy is exactly 0" in suspicion


def test_forces_that_are_all_zero_are_suspicious(make_silicon):
    frames = make_silicon(3)
    for atoms in frames:
        atoms.calc.results["forces"] = np.zeros((8, 3))
    assert "every force is exactly zero" in audit(frames).suspicions[0]


def test_free_energy_that_differs_is_noted(make_silicon):
    frames = make_silicon(2)
    for atoms in frames:
        atoms.calc.results["free_energy"] = atoms.calc.results["energy"] - 0.1
    assert any("energy_key=free_energy" in text for text in audit(frames).warnings)
    assert audit(frames, energy_key="free_energy").warnings == []


def test_isolated_atoms_are_noted(make_silicon):
    report = audit(make_silicon(2))
    frames = [Frame(atoms, "set.extxyz", k) for k, atoms in enumerate(make_silicon(2))]
    note_isolated_atoms(report, frames, {1: 3}, 5.0)
    assert "set.extxyz, frame 1, 3 atoms" in report.warnings[0]


def test_atoms_without_a_force_are_counted_and_the_others_are_audited(make_silicon):
    frames = make_silicon(4)
    frames[1].calc.results["forces"][2:5] = np.nan
    frames[3].calc.results["forces"][0, 1] = np.nan
    report = audit(frames)
    assert [note for note in report.warnings if "NaN" in note] == [
        "set.extxyz, frame 1: atoms without a force (NaN): 3 in this frame, 4 of 16 in 2 such frames; they are left "
        "out of losses and errors."
    ]
    known = np.concatenate([atoms.calc.results["forces"] for atoms in frames])
    assert report.properties[1].maximum == np.nanmax(known)
    assert report.largest_force == pytest.approx(np.nanmax(np.linalg.norm(known, axis=1)))
