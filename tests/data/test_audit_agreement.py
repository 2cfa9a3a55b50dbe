"""Energies against forces and stress: sets of a cheap calculator, right and altered."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from scalarpath.core.units import STRESS_TO_EV_A3
from scalarpath.data.audit import audit_labels
from scalarpath.data.audit.close_pairs import CLOSE, MOST_FRAMES, _sample, close_pairs
from scalarpath.data.audit.facts import gather
from scalarpath.data.audit.work import fit_work
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.reading import Frame

RNG = np.random.default_rng(3)
HA_BOHR, STRESS = units.Ha / units.Bohr, STRESS_TO_EV_A3


def labelled(atoms, **factors):
    """A frame with EMT's labels, each multiplied by a factor of its name."""
    calculator = EMT()
    calculator.calculate(atoms)
    names = ("energy", "forces", "stress") if atoms.pbc.all() else ("energy", "forces")
    results = {name: calculator.results[name] * factors.get(name, 1.0) for name in names}
    if "per_atom" in factors:
        results["energy"] /= len(atoms)
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def crystals(sizes=((2, 2, 1),), symbol="Cu", n=30, turn=0):
    """Rattled cells, half of them strained and compressed."""
    rng, found = np.random.default_rng(turn), []
    for k in range(n):
        atoms = bulk(symbol, cubic=True) * sizes[k % len(sizes)]
        if k % 2:
            strain = np.eye(3) * rng.uniform(0.95, 1.05) + rng.normal(0, 0.01, (3, 3))
            atoms.set_cell(atoms.cell @ strain, scale_atoms=True)
        atoms.positions += rng.normal(0, 0.08, atoms.positions.shape)
        found.append(atoms)
    return found


def molecules(n=60):
    """A molecule that vibrates, turns and drifts."""
    rng, found = np.random.default_rng(1), []
    for _ in range(n):
        atoms = molecule("CH3CH2OH")
        atoms.positions += rng.normal(0, 0.06, atoms.positions.shape)
        atoms.rotate(rng.uniform(0, 360), rng.normal(size=3), center="COM")
        atoms.positions += rng.normal(0, 5.0, 3)
        found.append(atoms)
    return found


def audit(frames, required=("energy", "forces"), files=None, **spec):
    files = files or ["set.extxyz"] * len(frames)
    frames = [Frame(atoms, file, k) for k, (atoms, file) in enumerate(zip(frames, files, strict=True))]
    spec = DataConfig.read({"path": "x", **spec})
    keys = find_keys(frames, spec)
    return audit_labels(frames, [extract_labels(f, keys, spec) for f in frames], keys, spec, frozenset(required))


ALTERED = [
    ({"forces": 1 / HA_BOHR}, {"forces_unit": "Ha/Bohr"}),
    ({"energy": 1 / units.Ha}, {"energy_unit": "Ha"}),
    ({"energy": 1 / units.Ha, "forces": 1 / HA_BOHR}, {"energy_unit": "Ha", "forces_unit": "Ha/Bohr"}),
    ({"forces": units.Bohr}, {"forces_unit": "eV/Bohr"}),
    ({"forces": 1e3}, {"forces_unit": "meV/A"}),
    ({"energy": units.mol / units.kcal}, {"energy_unit": "kcal/mol"}),
    ({"energy": units.mol / units.kJ}, {"energy_unit": "kJ/mol"}),
]


@pytest.mark.parametrize("make", [crystals, molecules])
@pytest.mark.parametrize(("factors", "right"), ALTERED)
def test_the_unit_that_fits_is_named_and_then_nothing_is_said(make, factors, right):
    frames = [labelled(atoms, **factors) for atoms in make()]
    assert " ".join(f"data.{key}={value}" for key, value in right.items()) in audit(frames).suspicions[0]
    corrected = audit(frames, **right)
    assert corrected.suspicions == []
    assert "times the work of the forces" in corrected.checks[0]


@pytest.mark.parametrize("make", [crystals, molecules])
def test_reversed_forces_and_energies_per_atom_are_named(make):
    assert "reversed sign" in audit([labelled(atoms, forces=-1.0) for atoms in make()]).suspicions[0]
    assert "energies per atom" in audit([labelled(atoms, per_atom=True) for atoms in make()]).suspicions[0]


def test_energies_per_atom_of_cells_of_many_sizes():
    frames = [labelled(a, per_atom=True) for a in crystals(sizes=((1, 1, 1), (2, 1, 1), (2, 2, 1)), n=60)]
    assert all("energies per atom" in text for text in audit(frames).suspicions)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("unit", sorted(STRESS))
def test_unit_and_sign_of_the_stress_are_named(unit, sign):
    right = {} if unit == "eV/A^3" else {"stress_unit": unit}
    right |= {} if sign > 0 else {"stress_sign": "compression_positive"}
    frames = [labelled(atoms, stress=sign / STRESS[unit]) for atoms in crystals(n=60)]
    wanted = ("energy", "forces", "stress")
    found = audit(frames, wanted).suspicions
    assert not found if not right else " ".join(f"data.{k}={v}" for k, v in right.items()) in found[0]
    assert audit(frames, wanted, **right).suspicions == []


def test_energies_and_forces_in_one_wrong_unit_are_told_by_the_stress():
    kcal = units.mol / units.kcal
    frames = [labelled(atoms, energy=kcal, forces=kcal) for atoms in crystals(n=60)]
    found = audit(frames, ("energy", "forces", "stress")).suspicions[0]
    assert "data.energy_unit=kcal/mol data.forces_unit=kcal/mol/A" in found


def test_what_the_loss_does_not_weigh_is_only_a_note():
    report = audit([labelled(atoms, stress=160.0) for atoms in crystals(n=60)])
    assert report.suspicions == []
    assert "data.stress_unit=GPa" in report.warnings[0]


def test_every_file_is_judged_by_itself():
    train = [labelled(atoms) for atoms in crystals()]
    test = [labelled(atoms, forces=1 / HA_BOHR) for atoms in crystals(turn=1)]
    (found,) = audit(train + test, files=["train.xyz"] * len(train) + ["test.xyz"] * len(test)).suspicions
    assert found.startswith("test.xyz: ")


def shuffled(atoms):
    return atoms[np.random.default_rng(len(atoms)).permutation(len(atoms))]


@pytest.mark.parametrize(
    "frames",
    [
        # structures of a random search: no two are close
        [Atoms("Cu6", RNG.uniform(0, 7, (6, 3)), cell=[7] * 3, pbc=True) for _ in range(30)],
        # atoms in another order each time
        [a[RNG.permutation(len(a))] for a in crystals()],
        # one frame, and two
        crystals(n=1),
        crystals(n=2),
        # perfect crystals: no forces do work
        [bulk("Cu", a=a, cubic=True) for a in np.linspace(3.4, 3.9, 12)],
    ],
    ids=["random", "reordered", "one", "two", "perfect"],
)
def test_where_close_frames_do_not_tell_nothing_is_said_of_units(frames):
    report = audit([labelled(atoms, forces=1.0 + 1e-9) for atoms in frames], ("energy",), stress_unit="eV/A^3")
    assert report.suspicions == []


def test_slabs_and_wrapped_positions_are_no_matter():
    frames = []
    for k, atoms in enumerate(crystals(n=30)):
        atoms.cell[2, 2] += 10.0
        atoms.pbc = (True, True, k % 3 > 0)
        atoms.positions += RNG.uniform(0, 9, 3)
        atoms.wrap()
        frames.append(labelled(atoms))
    report = audit(frames)
    assert report.suspicions == []
    assert report.checks


def test_forces_of_another_calculation_are_noted_but_stop_nothing():
    frames = [labelled(atoms) for atoms in crystals(n=60)]
    for atoms in frames:
        atoms.calc.results["forces"] = RNG.normal(0, 1.0, (len(atoms), 3))
    report = audit(frames)
    assert report.suspicions == []
    assert "do not explain" in report.warnings[-1] or report.checks == []


def test_energies_of_several_methods_do_not_accuse_the_forces():
    frames = [labelled(atoms) for atoms in crystals(n=60)]
    for atoms in frames[::2]:
        atoms.calc.results["energy"] += 1.5
    assert not any("forces_unit" in text for text in audit(frames).suspicions)


def test_frames_without_some_forces_are_left_out():
    frames = [labelled(atoms) for atoms in crystals(n=12)]
    frames = [Frame(atoms, "set", k) for k, atoms in enumerate(frames)]
    spec = DataConfig.read({"path": "x"})
    labels = [extract_labels(f, find_keys(frames, spec), spec) for f in frames]
    labels[4].forces[2] = np.nan
    facts = gather(frames, labels)
    assert np.isfinite(facts["largest_force"]).all()
    pairs = close_pairs(frames, labels, facts)
    assert len(pairs.atoms) > 5
    assert 4 not in pairs.frames


def test_the_work_is_that_of_the_definition():
    """A strain and a displacement so small that the energy changes by the work to 1e-4 of it."""
    start = crystals(n=2)[1]
    end = start.copy()
    end.set_cell(end.cell @ (np.eye(3) + 1e-3 * np.array([[1, 2, 0], [0, 3, 1], [2, 0, -1.0]])), scale_atoms=True)
    end.positions += 1e-3 * np.random.default_rng(0).normal(size=end.positions.shape)
    frames = [Frame(labelled(atoms), "set", k) for k, atoms in enumerate((start, end))]
    spec = DataConfig.read({"path": "x"})
    labels = [extract_labels(f, find_keys(frames, spec), spec) for f in frames]
    pairs = close_pairs(frames, labels, gather(frames, labels))
    assert pairs.forces + pairs.stress == pytest.approx(pairs.energy, rel=1e-3)
    assert fit_work(pairs).forces is None  # one pair is no evidence


def test_large_sets_are_sampled_in_runs_of_neighbours():
    chosen = _sample(np.arange(100_000), 100, MOST_FRAMES)
    assert 100 < len(chosen) <= MOST_FRAMES
    assert (np.diff(chosen) == 1).mean() > 0.9
    assert len(_sample(np.arange(50), 10_000_000, MOST_FRAMES)) <= 1
    assert CLOSE < 0.3
