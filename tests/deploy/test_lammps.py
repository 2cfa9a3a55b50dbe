"""LAMMPS with the driver against ASE."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet
from inside_lammps import ELEMENTS, assert_same_as_ase, crystal, current, loaded, virial_pressure
from samples import make_potential, silanol

from scalarpath.artifacts.dynamics import thermal_momenta
from scalarpath.core.errors import ConfigError, DataError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.deploy.lammps import LammpsDriver


@pytest.mark.parametrize("structure", [crystal, lambda: bulk("Si", a=5.5, cubic=True)], ids=["triclinic", "cubic"])
def test_energy_forces_and_virial_are_those_of_ase(lammps, tmp_path, structure):
    calculator, atoms = ScalarPathCalculator(make_potential("panpgs")), structure()
    atoms.rattle(0.1, seed=1)
    loaded(lammps, atoms, tmp_path)
    driver = LammpsDriver(lammps, calculator, ELEMENTS)
    lammps.command("compute virial all pressure NULL virial")
    lammps.command("thermo_style custom step pe press c_virial[1]")
    driver.command("run 0")
    assert_same_as_ase(lammps, calculator, atoms)
    np.testing.assert_allclose(virial_pressure(lammps), -calculator.get_property("stress", atoms), rtol=1e-6, atol=1e-9)


def test_a_molecule_has_no_pressure(lammps, tmp_path):
    calculator, atoms = ScalarPathCalculator(make_potential("baseline")), silanol()
    atoms.center(vacuum=4.0)
    atoms.pbc = False
    loaded(lammps, atoms, tmp_path)
    LammpsDriver(lammps, calculator, ELEMENTS).command("run 0")
    assert_same_as_ase(lammps, calculator, atoms)
    assert np.isnan(lammps.get_thermo("press"))


def test_a_trajectory_is_that_of_ase_also_when_lammps_sorts_and_wraps_its_atoms(lammps, tmp_path):
    calculator, atoms = ScalarPathCalculator(make_potential("baseline", scale=20.0)), crystal()
    atoms.wrap()
    atoms.set_momenta(thermal_momenta(atoms, 1000, seed=0))
    loaded(lammps, atoms, tmp_path)
    for line in ("atom_modify sort 2 2.0", "fix move all nve", "timestep 0.0005", "neigh_modify every 1 delay 0"):
        lammps.command(line)
    driver = LammpsDriver(lammps, calculator, ELEMENTS)
    driver.command("run 0")
    start = lammps.get_thermo("etotal")
    driver.command("run 40")
    assert lammps.get_thermo("etotal") == pytest.approx(start, abs=3e-3)
    atoms.calc = calculator
    VelocityVerlet(atoms, 0.5 * units.fs).run(40)
    assert lammps.get_thermo("etotal") == pytest.approx(atoms.get_total_energy(), abs=1e-6)
    there = current(lammps, atoms)
    away = (there.get_scaled_positions() - atoms.get_scaled_positions() + 0.5) % 1 - 0.5
    assert np.abs(away @ atoms.cell.array).max() < 1e-6
    assert_same_as_ase(lammps, calculator, there)


def test_a_box_that_moves_under_pressure_is_followed(lammps, tmp_path):
    calculator, atoms = ScalarPathCalculator(make_potential("baseline", scale=20.0)), crystal()
    loaded(lammps, atoms, tmp_path)
    lammps.command("fix move all npt temp 300 300 0.05 tri 5000 5000 0.1")
    lammps.command("compute virial all pressure NULL virial")
    lammps.command("thermo_style custom step pe press c_virial[1]")
    LammpsDriver(lammps, calculator, ELEMENTS).command("run 20")
    there = current(lammps, atoms)
    assert np.abs(there.cell.array - atoms.cell.array).max() > 1e-4
    assert_same_as_ase(lammps, calculator, there)
    np.testing.assert_allclose(virial_pressure(lammps), -calculator.get_property("stress", there), rtol=1e-6, atol=1e-9)


def test_atoms_and_box_relax(lammps, tmp_path):
    calculator, atoms = ScalarPathCalculator(make_potential("baseline", scale=20.0)), crystal()
    loaded(lammps, atoms, tmp_path)
    lammps.command("fix relax all box/relax tri 0.0")
    LammpsDriver(lammps, calculator, ELEMENTS).command("minimize 0 0 8 30")
    there = current(lammps, atoms)
    assert np.abs(there.cell.array - atoms.cell.array).max() > 1e-4
    assert calculator.get_property("energy", there) < calculator.get_property("energy", atoms) - 1e-3
    assert lammps.numpy.extract_compute("thermo_pe", 0, 0) == pytest.approx(calculator.get_property("energy", there))


class Failing(Calculator):
    """Fails at its third structure."""

    implemented_properties = ("energy", "forces", "stress")
    calls = 0

    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls > 2:
            raise DataError("the third structure is one too many.")
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_error_of_the_calculator_ends_the_run_and_comes_out(lammps, tmp_path):
    atoms = crystal()
    atoms.set_momenta(thermal_momenta(atoms, 1000, seed=0))
    loaded(lammps, atoms, tmp_path)
    lammps.command("fix move all nve")
    driver = LammpsDriver(lammps, Failing(), ELEMENTS)
    with pytest.raises(DataError, match="one too many"):
        driver.command("run 50")
    assert lammps.extract_global("ntimestep") == 2
    assert np.isnan(lammps.numpy.extract_atom("f")).all()
    lammps.command("run 50")  # without the driver
    assert lammps.extract_global("ntimestep") < 5


@pytest.mark.parametrize(
    ("style", "elements", "message"),
    [
        ("real", ELEMENTS, "units real; begin its input with 'units metal'"),
        ("metal", ["Si"], "2 atom types, and elements names 1"),
        ("metal", ["O", "SI"], "'SI' is no chemical symbol"),
    ],
)
def test_what_cannot_be_driven_is_refused(lammps, tmp_path, style, elements, message):
    loaded(lammps, crystal(), tmp_path, style)
    with pytest.raises(ConfigError, match=message):
        LammpsDriver(lammps, ScalarPathCalculator(make_potential("baseline")), elements)


def test_a_box_comes_first(lammps):
    lammps.command("units metal")
    with pytest.raises(ConfigError, match="no box yet"):
        LammpsDriver(lammps, ScalarPathCalculator(make_potential("baseline")), ELEMENTS)


def test_the_example_runs(lammps, example):
    found = example("md_lammps.py")
    assert found["lmp"].extract_global("ntimestep") == 10
    assert np.isfinite(found["lmp"].get_thermo("press"))
