"""The ASE calculator: units, signs, sources."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from samples import make_potential, quartz_like, silanol

from scalarpath.core.errors import CheckpointError, ConfigError, DataError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.potential import to_checkpoint


@pytest.fixture
def crystal() -> Atoms:
    atoms = quartz_like()
    atoms.calc = ScalarPathCalculator(make_potential("panpgs"))
    return atoms


def test_forces_and_stress_are_ases_own_derivatives_of_the_energy(crystal):
    forces, stress = crystal.get_forces(), crystal.get_stress()
    np.testing.assert_allclose(forces, calculate_numerical_forces(crystal, eps=1e-4), atol=1e-6 * np.abs(forces).max())
    numeric = calculate_numerical_stress(crystal, eps=1e-5, voigt=True)
    np.testing.assert_allclose(stress, numeric, atol=1e-6 * np.abs(stress).max())


def test_a_repulsive_compressed_crystal_has_negative_stress():
    """ASE's sign: compression is negative."""
    potential = make_potential("baseline", scale=0.0)
    repulsive = type(potential)({**potential.config, "repulsion": "zbl"}).eval()
    repulsive.set_statistics({8: 0.0, 14: 0.0}, scale=0.0, shift=0.0, avg_num_neighbors=1.0)
    atoms = bulk("Si", a=4.2, cubic=True)
    atoms.calc = ScalarPathCalculator(repulsive)
    assert (atoms.get_stress()[:3] < -0.01).all()


def test_atomic_energies_sum_to_the_energy(crystal):
    assert crystal.get_potential_energies().sum() == pytest.approx(crystal.get_potential_energy(), rel=1e-12)
    assert crystal.get_potential_energy(force_consistent=True) == crystal.get_potential_energy()


def test_a_molecule_has_forces_and_no_stress():
    atoms = silanol()
    atoms.calc = ScalarPathCalculator(make_potential("pan"))
    assert atoms.get_forces().shape == (len(atoms), 3)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_moving_an_atom_gives_new_numbers_and_asking_twice_does_not(crystal):
    first = crystal.get_potential_energy()
    assert crystal.get_potential_energy() == first
    crystal.positions[0, 0] += 0.05
    assert crystal.get_potential_energy() != first


def test_the_calculator_keeps_its_own_copy(crystal):
    potential = make_potential("baseline")
    calculator = ScalarPathCalculator(potential)
    atoms = quartz_like()
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    with torch.no_grad():
        potential.scale.fill_(100.0)
    calculator.reset()
    assert atoms.get_potential_energy() == before


@pytest.mark.parametrize("trained", ["float32", "float64"])
def test_precision_can_be_chosen(trained):
    energies = []
    for dtype in ("float32", "float64"):
        atoms = quartz_like()
        atoms.calc = ScalarPathCalculator(make_potential("panpgs", dtype=trained), dtype=dtype)
        energies.append(atoms.get_potential_energy())
    assert energies[0] != energies[1]
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)


def test_checkpoint_files_and_run_directories_are_sources(tmp_path):
    potential = make_potential("panpgs")
    (tmp_path / "checkpoints").mkdir()
    torch.save({"potential": to_checkpoint(potential), "epoch": 3}, tmp_path / "checkpoints" / "best.ckpt")
    atoms = quartz_like()
    energies = []
    for source in (potential, tmp_path, tmp_path / "checkpoints" / "best.ckpt", str(tmp_path)):
        atoms.calc = ScalarPathCalculator(source)
        energies.append(atoms.get_potential_energy())
    assert len(set(energies)) == 1


def test_threads_that_share_a_calculator_get_the_numbers_of_their_own_structures():
    calculator = ScalarPathCalculator(make_potential("baseline"))
    structures = [quartz_like() for _ in range(4)]
    for k, atoms in enumerate(structures):
        atoms.positions[0, 0] += 0.02 * k
    expected = [calculator.get_property("energy", atoms) for atoms in structures]

    def energies(k: int) -> set[float]:
        return {calculator.get_property("energy", structures[k]) for _ in range(25)}

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(energies, range(4))) == [{energy} for energy in expected]


def test_a_calculator_can_be_copied_and_pickled(crystal):
    energy = crystal.get_potential_energy()
    for twin in (copy.deepcopy(crystal.calc), pickle.loads(pickle.dumps(crystal.calc))):
        twin.reset()
        assert twin.get_property("energy", crystal) == energy


def test_arrays_that_are_handed_out_are_copies(crystal):
    forces, stress = crystal.get_forces().copy(), crystal.get_stress().copy()
    crystal.get_forces()[:] = 7.0
    crystal.get_stress()[:] = 7.0
    assert np.array_equal(crystal.get_forces(), forces)
    assert np.array_equal(crystal.get_stress(), stress)


def test_unusable_sources_and_elements_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        ScalarPathCalculator(tmp_path / "nothing.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint of scalarpath"):
        ScalarPathCalculator(tmp_path / "text.ckpt")
    with pytest.raises(ConfigError, match=r"dtype must be one of .* not 'float16'"):
        ScalarPathCalculator(make_potential("baseline"), dtype="float16")
    gold = bulk("Au")
    gold.calc = ScalarPathCalculator(make_potential("baseline"))
    with pytest.raises(DataError, match="atomic number 79"):
        gold.get_potential_energy()
    for number in (-106, 200):  # -106 is where silicon is, counted from the end of the table
        gold.numbers[0] = number
        with pytest.raises(DataError, match=f"atomic number {number} occurs"):
            gold.get_potential_energy()


def test_the_example_runs_dynamics(example, capsys):
    energy = example("md_ase.py")["atoms"].get_potential_energy()
    assert float(capsys.readouterr().out) == energy
