"""A committee: the mean of its members, and their spread, from one neighbour search."""

from __future__ import annotations

import copy

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io.trajectory import Trajectory
from samples import CUTOFF, SMALL, make_potential, quartz_like, silanol

from scalarpath.core.errors import CheckpointError, ConfigError, DataError, GraphError
from scalarpath.deploy import Committee, CommitteeCalculator, ScalarPathCalculator, spread
from scalarpath.graph import atomic_graph
from scalarpath.potential import Potential, to_checkpoint


def members() -> list[Potential]:
    """Potentials that differ in everything that may differ."""
    return [make_potential("panpgs", kind=kind, seed=seed) for seed, kind in enumerate(SMALL)]


@pytest.fixture
def crystal() -> Atoms:
    atoms = quartz_like()
    atoms.calc = CommitteeCalculator(members())
    return atoms


def test_energy_forces_and_stress_are_means_and_the_spread_is_a_sample_standard_deviation(crystal):
    energies, forces, stresses = [], [], []
    for member in members():
        atoms = quartz_like()
        atoms.calc = ScalarPathCalculator(member)
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        stresses.append(atoms.get_stress())
    assert crystal.get_potential_energy() == pytest.approx(np.mean(energies), abs=1e-12)
    np.testing.assert_allclose(crystal.get_forces(), np.mean(forces, 0), atol=1e-12)
    np.testing.assert_allclose(crystal.get_stress(), np.mean(stresses, 0), atol=1e-12)
    assert crystal.get_potential_energies().sum() == pytest.approx(crystal.get_potential_energy(), abs=1e-12)
    found = {name: crystal.calc.get_property(name) for name in ("energy_per_atom_std", "forces_std", "stress_std")}
    assert found["energy_per_atom_std"] == pytest.approx(np.std(energies, ddof=1) / len(crystal), rel=1e-9)
    away = np.linalg.norm(np.subtract(forces, np.mean(forces, 0)), axis=2)
    np.testing.assert_allclose(found["forces_std"], np.sqrt((away**2).sum(0) / (len(forces) - 1)), rtol=1e-9)
    np.testing.assert_allclose(found["stress_std"], np.std(stresses, 0, ddof=1), rtol=1e-9)


def test_forces_and_stress_are_ases_own_derivatives_of_the_mean_energy(crystal):
    np.testing.assert_allclose(crystal.get_forces(), calculate_numerical_forces(crystal, eps=1e-4), atol=1e-6)
    numeric = calculate_numerical_stress(crystal, eps=1e-5, voigt=True)
    np.testing.assert_allclose(crystal.get_stress(), numeric, atol=1e-7)


def test_neighbours_are_searched_once_for_all_members(crystal, monkeypatch):
    searches = []
    original = atomic_graph.neighbour_list
    monkeypatch.setattr(atomic_graph, "neighbour_list", lambda *args: searches.append(args) or original(*args))
    crystal.get_forces(), crystal.get_stress(), crystal.calc.get_property("forces_std")
    assert len(searches) == 1


@pytest.mark.parametrize("kind", SMALL)
def test_members_of_different_cutoffs_see_what_they_see_alone(kind):
    """The list reaches to the longest cutoff; what lies beyond its own changes nothing for a member."""
    short, long = make_potential("panpgs", kind=kind), make_potential("panpgs", kind=kind, cutoff=CUTOFF + 1.3)
    committee = CommitteeCalculator([short, long])
    assert committee.potential.cutoff == CUTOFF + 1.3
    atoms, alone = quartz_like(), [ScalarPathCalculator(each) for each in (short, long)]
    for name in ("energy", "forces", "stress"):
        each = [calculator.get_property(name, atoms) for calculator in alone]
        assert np.abs(each[0] - each[1]).max() > 1e-3
        np.testing.assert_allclose(committee.get_property(name, atoms), np.mean(each, 0), atol=1e-10)


def test_many_structures_have_the_spread_of_the_calculator(crystal):
    committee = Committee(members())
    structures = [crystal, silanol(), bulk("Si", a=5.4)]
    found = spread(committee, structures)
    assert len(found.energy_per_atom) == len(found.forces) == 3
    for atoms, energy, forces in zip(structures, *found, strict=True):
        expected = crystal.calc.get_property("energy_per_atom_std", atoms)
        assert energy == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(forces, crystal.calc.get_property("forces_std", atoms), rtol=1e-9, atol=1e-12)
    assert spread(committee, []).forces == []


def test_a_molecule_has_no_stress_and_no_spread_of_it(crystal):
    crystal.calc.calculate(silanol())
    assert not {"stress", "stress_std"} & crystal.calc.results.keys()
    assert "forces_std" in crystal.calc.results


def test_ase_writes_and_reads_what_it_knows(crystal, tmp_path):
    assert crystal.get_properties(["energy", "forces"])["energy"] == crystal.get_potential_energy()
    with Trajectory(tmp_path / "steps.traj", "w", crystal) as steps:
        steps.write()
    ase.io.write(tmp_path / "steps.extxyz", crystal)
    for name in ("steps.traj", "steps.extxyz"):
        assert ase.io.read(tmp_path / name).get_potential_energy() == pytest.approx(crystal.get_potential_energy())
    twin = copy.deepcopy(crystal.calc)
    twin.reset()
    assert twin.get_property("forces_std", crystal) == pytest.approx(crystal.calc.get_property("forces_std"))


def test_files_are_members_and_precision_can_be_chosen(tmp_path):
    paths = [tmp_path / f"{seed}.ckpt" for seed in range(2)]
    for seed, path in enumerate(paths):
        torch.save(to_checkpoint(make_potential("baseline", seed=seed, dtype="float32")), path)
    single, double = (
        CommitteeCalculator(paths, dtype=dtype).get_property("energy", quartz_like()) for dtype in (None, "float64")
    )
    assert single != double
    assert single == pytest.approx(double, abs=1e-3)
    with pytest.raises(ConfigError, match=r"0\.ckpt is twice"):
        Committee([paths[0], tmp_path / "." / "0.ckpt"])
    with pytest.raises(CheckpointError, match="does not exist"):
        Committee([paths[0], tmp_path / "2.ckpt"])


def test_elements_are_those_that_all_members_know():
    potential = make_potential("baseline")
    fewer = Potential({**potential.config, "species": [14, 29]})
    assert Committee([potential, fewer]).species == [14]


def test_what_is_no_committee_is_refused():
    potential = make_potential("baseline")
    for alone in ([potential], potential, "outputs/run"):
        with pytest.raises(ConfigError, match="two or more potentials"):
            Committee(alone)
    with pytest.raises(ConfigError, match="one potential is twice"):
        Committee([potential, potential])
    committee = Committee([potential, make_potential("baseline", seed=1)])
    with pytest.raises(DataError, match="atomic number 79"):
        spread(committee, [bulk("Au")])
    broken = quartz_like()
    broken.positions[0] = np.nan
    with pytest.raises(GraphError, match="structure 1"):
        spread(committee, [quartz_like(), broken])


def test_the_example_stops_where_the_potentials_no_longer_agree(example, capsys):
    found = example("committee.py")
    assert found["largest"] > 0
    assert ("step" in capsys.readouterr().out) == (found["largest"] > 0.5)
