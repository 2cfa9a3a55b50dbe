"""Molecular dynamics of several replicas at once."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read
from ase.md.verlet import VelocityVerlet

from scalarpath.artifacts.dynamics import (
    CalculatorForces,
    Limits,
    Replica,
    Thermostat,
    as_forces,
    limits_for,
    run_dynamics,
    thermal_momenta,
    without_drift,
)
from scalarpath.artifacts.oracles import oracle
from scalarpath.core.errors import ArtifactError, GraphError

LIMITS = Limits(temperature_K=1e4, neighbour_distance_A=4.0)


class Springs:
    """Every atom on a spring of its own to where it was: independent oscillators, 2 eV/Å^2."""

    def __init__(self, atoms: Atoms):
        self.sites, self.calls = atoms.get_positions(), 0

    def evaluate(self, structures):
        self.calls += 1
        moved = [atoms.positions - self.sites for atoms in structures]
        return [float((x**2).sum()) for x in moved], [-2 * x for x in moved]


class Refusing(Springs):
    """Does not take structures in which an atom is more than 0.3 Å from its site."""

    def evaluate(self, structures):
        if any(np.abs(atoms.positions - self.sites).max() > 0.3 for atoms in structures):
            raise GraphError("out of range.")
        return super().evaluate(structures)


def silicon(temperature_K: float = 300.0, seed: int = 0) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.431, cubic=True)
    atoms.set_momenta(thermal_momenta(atoms, temperature_K, seed))
    return atoms


def test_a_run_without_thermostat_is_ases_velocity_verlet():
    ours = silicon()
    theirs = ours.copy()
    theirs.calc = oracle("si_sw")()
    VelocityVerlet(theirs, timestep=1.0 * units.fs).run(50)
    [run] = run_dynamics([Replica(ours, 1.0, 50, LIMITS)], as_forces(oracle("si_sw")()))
    np.testing.assert_allclose(run.atoms.positions, theirs.positions, atol=1e-10)
    np.testing.assert_allclose(run.atoms.get_momenta(), theirs.get_momenta(), atol=1e-10)
    assert run.time_fs[-1] == 50
    assert run.potential_energy_eV[-1] == pytest.approx(theirs.get_potential_energy(), abs=1e-9)
    assert run.kinetic_energy_eV[-1] == pytest.approx(theirs.get_kinetic_energy(), abs=1e-9)


def test_the_start_is_not_changed_and_the_same_seed_gives_the_same_run():
    start = silicon()
    before = start.copy()
    replica = Replica(start, 1.0, 20, LIMITS, Thermostat(300, 10, seed=3))
    first, again = (run_dynamics([replica], Springs(start))[0] for _ in range(2))
    other = run_dynamics([Replica(start, 1.0, 20, LIMITS, Thermostat(300, 10, seed=4))], Springs(start))[0]
    np.testing.assert_array_equal(start.positions, before.positions)
    np.testing.assert_array_equal(start.get_momenta(), before.get_momenta())
    np.testing.assert_array_equal(first.atoms.positions, again.atoms.positions)
    assert np.abs(first.atoms.positions - other.atoms.positions).max() > 1e-4


def test_replicas_of_different_length_step_and_temperature_run_in_one_batch_as_they_do_alone():
    starts = [silicon(300, 0), silicon(600, 1), silicon(900, 2)]
    replicas = [
        Replica(starts[0], 0.5, 40, LIMITS),
        Replica(starts[1], 2.0, 10, LIMITS, Thermostat(600, 5, 7)),
        Replica(starts[2], 1.0, 30, LIMITS, record_every=10),
    ]
    springs = Springs(bulk("Si", "diamond", a=5.431, cubic=True))
    together = run_dynamics(replicas, springs)
    assert springs.calls == 41
    for replica, run in zip(replicas, together, strict=True):
        [alone] = run_dynamics([replica], springs)
        np.testing.assert_array_equal(run.atoms.positions, alone.atoms.positions)
        np.testing.assert_array_equal(run.potential_energy_eV, alone.potential_energy_eV)
    assert together[2].time_fs.tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize("friction_per_ps", [5.0, 50.0])
def test_the_thermostat_brings_oscillators_to_its_temperature_in_kinetic_and_potential_energy(friction_per_ps):
    """Equipartition: kT/2 for each of the 3N positions and momenta."""
    start = bulk("Si", "diamond", a=5.431, cubic=True).repeat(2)
    replicas = [Replica(start, 2.0, 3000, LIMITS, Thermostat(500, friction_per_ps, seed)) for seed in range(2)]
    runs = run_dynamics(replicas, Springs(start))
    share = 1.5 * len(start) * units.kB * 500
    for energies in ("kinetic_energy_eV", "potential_energy_eV"):
        later = np.concatenate([getattr(run, energies)[1000:] for run in runs])
        assert later.mean() / share == pytest.approx(1.0, abs=0.04), energies


def test_thermal_momenta_have_the_temperature_and_can_be_brought_to_rest_as_a_whole():
    atoms = bulk("LiF", "rocksalt", a=4.0, cubic=True).repeat(6)
    atoms.set_momenta(thermal_momenta(atoms, 700, seed=0))
    assert atoms.get_temperature() == pytest.approx(700, rel=0.05)
    for symbol in ("Li", "F"):
        assert atoms[atoms.symbols == symbol].get_temperature() == pytest.approx(700, rel=0.07)
    still = without_drift(atoms)
    np.testing.assert_allclose(still.get_momenta().sum(axis=0), 0, atol=1e-9)
    assert still.get_temperature() == pytest.approx(atoms.get_temperature(), rel=0.01)


def test_an_explosion_is_a_failure_at_its_time_and_the_other_replicas_go_on():
    class OneExplodes(Springs):
        """Pushes outwards where the structure is marked as bad."""

        def evaluate(self, structures):
            energies, forces = super().evaluate(structures)
            return energies, [
                -2000 * force if atoms.info["bad"] else force for atoms, force in zip(structures, forces, strict=True)
            ]

    good, bad = silicon(), silicon()
    good.info["bad"], bad.info["bad"] = False, True
    forces = OneExplodes(bulk("Si", "diamond", a=5.431, cubic=True))
    seen = []
    runs = run_dynamics(
        [Replica(good, 1.0, 100, LIMITS), Replica(bad, 1.0, 100, LIMITS)], forces, lambda *done: seen.append(done)
    )
    assert runs[0].failure is None
    assert len(runs[0].time_fs) == 101
    assert runs[1].failure.kind == "exploded"
    assert 0 < runs[1].failure.time_fs < 60
    assert runs[1].time_fs[-1] <= runs[1].failure.time_fs
    assert np.isfinite(runs[1].atoms.positions).all()
    assert seen[-1] == (200, 200)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_forces_that_are_not_finite_are_an_explosion():
    class Broken(Springs):
        def evaluate(self, structures):
            energies, forces = super().evaluate(structures)
            return energies, [force * (np.nan if self.calls > 5 else 1) for force in forces]

    [run] = run_dynamics([Replica(silicon(), 1.0, 20, LIMITS)], Broken(silicon()))
    assert (run.failure.kind, run.failure.time_fs) == ("exploded", 5.0)
    assert "not finite" in run.failure.reason
    assert np.isfinite(run.potential_energy_eV).all()


def test_an_atom_that_leaves_all_others_has_evaporated_although_its_own_images_are_near():
    atoms = Atoms("Ag3", [[0, 0, 0], [2.9, 0, 0], [0, 2.9, 0]], cell=[3.5, 30, 30], pbc=[True, False, False])
    momenta = np.zeros((3, 3))
    momenta[2, 1] = atoms.get_masses()[2] * 0.05 / units.fs  # 0.05 Å/fs
    atoms.set_momenta(momenta)

    class Free:
        def evaluate(self, structures):
            return [0.0] * len(structures), [np.zeros((3, 3))] * len(structures)

    limits = Limits(temperature_K=1e6, neighbour_distance_A=6.0, check_interval_fs=5.0)
    [run] = run_dynamics([Replica(atoms, 1.0, 400, limits)], Free())
    assert run.failure.kind == "evaporated"
    assert run.failure.time_fs == 65  # first check with 2.9 + 0.05 t > 6 Å
    assert "atom 2" in run.failure.reason
    assert run.minimum_distance_A == pytest.approx(0.6)  # atom 1 and the image of atom 0


def test_atoms_that_run_into_each_other_have_collapsed():
    atoms = Atoms("Ag2", [[0, 0, 0], [2.9, 0, 0]])
    momenta = np.zeros((2, 3))
    momenta[1, 0] = -atoms.get_masses()[1] * 0.05 / units.fs  # 0.05 Å/fs, no force stops it
    atoms.set_momenta(momenta)

    class Free:
        def evaluate(self, structures):
            return [0.0] * len(structures), [np.zeros((2, 3))] * len(structures)

    limits = Limits(temperature_K=1e6, neighbour_distance_A=6.0, check_interval_fs=5.0, contact_distance_A=1.0)
    [run] = run_dynamics([Replica(atoms, 1.0, 400, limits)], Free())
    assert run.failure.kind == "collapsed"
    assert run.failure.time_fs == 40  # first check with 2.9 - 0.05 t < 1 Å
    assert "0.9 Å apart" in run.failure.reason


def test_a_structure_that_the_calculator_refuses_fails_its_replica_alone():
    calm, wild = silicon(10), silicon(8000, seed=1)
    runs = run_dynamics(
        [Replica(calm, 1.0, 60, Limits(1e6, 9.0)), Replica(wild, 1.0, 60, Limits(1e6, 9.0))],
        Refusing(bulk("Si", "diamond", a=5.431, cubic=True)),
    )
    assert runs[0].failure is None
    assert runs[1].failure.kind == "refused"
    assert runs[1].failure.reason == "out of range."
    assert runs[1].failure.time_fs > 0


def test_the_smallest_distance_on_the_way_is_remembered():
    atoms = Atoms("Si2", [[0, 0, 0], [2.4, 0, 0]])
    momenta = np.zeros((2, 3))
    momenta[:, 0] = [0.5, -0.5]
    atoms.set_momenta(momenta * 20)
    [run] = run_dynamics([Replica(atoms, 0.5, 200, Limits(1e5, 9.0, 0.5))], as_forces(oracle("si_sw")()))
    assert run.failure is None
    assert run.minimum_distance_A < 2.2
    assert np.linalg.norm(run.atoms.positions[1] - run.atoms.positions[0]) > run.minimum_distance_A + 0.1


def test_snapshots_are_kept_unwrapped_and_written_with_energies_and_forces(tmp_path):
    path = tmp_path / "run.extxyz"
    path.write_text("old")
    start = silicon()
    momenta = start.get_momenta()
    momenta += start.get_masses()[:, None] * [0.5, 0, 0]  # the whole crystal moves
    start.set_momenta(momenta)
    replica = Replica(start, 1.0, 30, Limits(1e6, 4.0), snapshot_every=10, trajectory_file=path)
    [run] = run_dynamics([replica], as_forces(oracle("si_sw")()))
    frames = read(path, ":")
    assert run.snapshots_A.shape == (4, 8, 3)
    np.testing.assert_allclose(
        np.mean(run.snapshots_A[-1] - start.positions, axis=0), [0.5 * 30 * units.fs, 0, 0], atol=0.1
    )
    for frame, positions, k in zip(frames, run.snapshots_A, range(4), strict=True):
        np.testing.assert_allclose(frame.positions, positions, atol=1e-7)
        assert frame.get_potential_energy() == pytest.approx(run.potential_energy_eV[10 * k], abs=1e-7)
        assert frame.get_forces().shape == (8, 3)
        assert frame.info["time_fs"] == 10 * k


class Smeared(Calculator):
    """Its forces derive from the free energy, not from the energy."""

    implemented_properties = ("energy", "free_energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 1.0, "free_energy": 2.0, "forces": np.zeros((len(self.atoms), 3))}


def test_the_energy_is_the_one_that_the_forces_derive_from():
    assert CalculatorForces(Smeared()).evaluate([silicon()])[0] == [2.0]
    batch = Springs(silicon())
    assert as_forces(batch) is batch


def test_limits_scale_with_the_temperature_and_the_largest_neighbour_distance():
    atoms = bulk("Si", "diamond", a=5.431, cubic=True)
    limits = limits_for(atoms, 300, explosion_factor=10, evaporation_factor=2)
    assert limits.temperature_K == 3000
    assert limits.neighbour_distance_A == pytest.approx(2 * 5.431 * 3**0.5 / 4)
    assert limits.contact_distance_A == pytest.approx(0.4 * 5.431 * 3**0.5 / 4)


@pytest.mark.parametrize(("step", "steps"), [(0.0, 10), (-1.0, 10), (1.0, 0)])
def test_impossible_runs_are_refused(step, steps):
    with pytest.raises(ArtifactError, match="must be positive"):
        run_dynamics([Replica(silicon(), step, steps, LIMITS)], Springs(silicon()))


def test_the_driver_costs_little_next_to_a_model():
    """64 atoms: less than 0.2 ms of the processor a step; five times that here, in the best of three tries."""
    start = bulk("Si", "diamond", a=5.431, cubic=True).repeat(2)
    start.set_momenta(thermal_momenta(start, 300, 0))
    springs = Springs(start)
    seconds = []
    for _ in range(3):
        began = time.process_time()
        run_dynamics([Replica(start, 1.0, 500, LIMITS, Thermostat(300, 5, 0))], springs)
        seconds.append(time.process_time() - began)
    assert min(seconds) / 500 < 1e-3
