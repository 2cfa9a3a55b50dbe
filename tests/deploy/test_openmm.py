"""OpenMM against ASE."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from samples import make_potential, quartz_like, silanol

from scalarpath.artifacts.dynamics import thermal_momenta
from scalarpath.core.errors import ConfigError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.deploy.openmm import openmm_force

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed: pip install 'scalarpath[openmm]'")

NM, FS = 10.0, 1e-3  # in Å, ps
KJ_MOL = units.kJ / units.mol


def crystal() -> Atoms:
    """Triclinic, in the orientation that OpenMM asks for."""
    atoms = quartz_like()
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    return atoms


def velocity_verlet(step_ps: float):
    integrator = openmm.CustomIntegrator(step_ps)
    for name, expression in (("v", "v + dt/2*f/m"), ("x", "x + dt*v"), ("v", "v + dt/2*f/m")):
        integrator.addComputePerDof(name, expression)
    return integrator


def simulated(calculator, atoms: Atoms, particles=(), extra: int = 0):
    """A Context in double precision with the atoms in it, after ``extra`` other particles."""
    system = openmm.System()
    for mass in [12.0] * extra + atoms.get_masses().tolist():
        system.addParticle(mass)
    if atoms.pbc.all():
        system.setDefaultPeriodicBoxVectors(*(atoms.cell.array / NM))
    system.addForce(openmm_force(calculator, atoms, particles))
    context = openmm.Context(system, velocity_verlet(0.5 * FS), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.concatenate([np.ones((extra, 3)), atoms.positions / NM]))
    return context


def energy_and_forces(context) -> tuple[float, np.ndarray]:
    """In eV and eV/Å."""
    state = context.getState(energy=True, forces=True)
    unit = openmm.unit
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return energy * KJ_MOL, forces * KJ_MOL / NM


@pytest.mark.parametrize("structure", [crystal, silanol])
def test_energy_and_forces_are_those_of_ase(structure):
    calculator, atoms = ScalarPathCalculator(make_potential("panpgs")), structure()
    energy, forces = energy_and_forces(simulated(calculator, atoms))
    assert energy == pytest.approx(calculator.get_property("energy", atoms), abs=1e-10)
    np.testing.assert_allclose(forces, calculator.get_property("forces", atoms), atol=1e-12)


def test_a_box_that_changes_is_followed():
    """As a barostat changes it."""
    calculator, atoms = ScalarPathCalculator(make_potential("baseline")), crystal()
    context = simulated(calculator, atoms)
    before = energy_and_forces(context)[0]
    atoms.set_cell(1.01 * atoms.cell.array, scale_atoms=True)
    context.setPeriodicBoxVectors(*(atoms.cell.array / NM))
    context.setPositions(atoms.positions / NM)
    energy, forces = energy_and_forces(context)
    assert abs(energy - before) > 1e-3
    assert energy == pytest.approx(calculator.get_property("energy", atoms), abs=1e-10)
    np.testing.assert_allclose(forces, calculator.get_property("forces", atoms), atol=1e-12)


def test_a_trajectory_is_that_of_ase_and_keeps_its_energy():
    calculator, atoms = ScalarPathCalculator(make_potential("baseline", scale=20.0)), crystal()
    atoms.set_momenta(thermal_momenta(atoms, 300, seed=0))
    context = simulated(calculator, atoms)
    context.setVelocities(atoms.get_velocities() * units.fs / FS / NM)
    atoms.calc = calculator
    start = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.5 * units.fs).run(20)
    context.getIntegrator().step(20)
    positions = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(openmm.unit.angstrom)
    np.testing.assert_allclose(positions, atoms.positions, atol=1e-7)  # the two have other constants of nature
    state = context.getState(energy=True)
    end = (state.getPotentialEnergy() + state.getKineticEnergy()).value_in_unit(openmm.unit.kilojoule_per_mole)
    assert end * KJ_MOL == pytest.approx(start, abs=1e-4)


def test_the_force_may_act_on_some_particles():
    calculator, atoms = ScalarPathCalculator(make_potential("baseline")), silanol()
    context = simulated(calculator, atoms, particles=range(2, 2 + len(atoms)), extra=2)
    energy, forces = energy_and_forces(context)
    assert energy == pytest.approx(calculator.get_property("energy", atoms), abs=1e-10)
    assert not forces[:2].any()
    np.testing.assert_allclose(forces[2:], calculator.get_property("forces", atoms), atol=1e-12)


def test_what_openmm_cannot_do_is_refused():
    calculator, slab = ScalarPathCalculator(make_potential("baseline")), quartz_like()
    slab.pbc = (True, True, False)
    with pytest.raises(ConfigError, match="along all three axes or none"):
        openmm_force(calculator, slab)
    with pytest.raises(ConfigError, match="8 atoms are 3 particles"):
        openmm_force(calculator, silanol(), [0, 1, 2])
    gold = Atoms("Au2", [[0, 0, 0], [0, 0, 2.5]])
    with pytest.raises(openmm.OpenMMException, match="atomic number 79 occurs"):
        energy_and_forces(simulated(calculator, gold))


def test_the_example_runs(example):
    found = example("md_openmm.py")
    assert np.isfinite(found["simulation"].context.getState(energy=True).getPotentialEnergy()._value)
