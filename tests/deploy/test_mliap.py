"""pair_style mliap unified in LAMMPS against ASE; needs a LAMMPS with ML-IAP and Python, which the package lacks."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.md.verlet import VelocityVerlet
from documented import write_examples
from inside_lammps import (
    ELEMENTS,
    EV_A3_TO_BAR,
    assert_same_as_ase,
    crystal,
    current,
    loaded,
    order_of,
    virial_pressure,
)
from samples import make_potential, silanol

from scalarpath.artifacts.dynamics import thermal_momenta
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.models.mliap import write_mliap

KINDS = ["mace", "nequip", "allegro", "sevennet"]
BUILD = "LAMMPS was built without ML-IAP and Python; docs/simulations.md says how to build it"


@pytest.fixture
def mliap(lammps):
    """A new instance of LAMMPS that has pair_style mliap unified."""
    if not lammps.has_package("PYTHON") or not lammps.has_style("pair", "mliap"):
        pytest.skip(BUILD)
    try:
        importlib.import_module("lammps.mliap").activate_mliappy(lammps)
    except ImportError:
        pytest.skip(BUILD)
    return lammps


def write(folder: Path, head: str, kind: str, **options):
    """The calculator of a potential whose file for LAMMPS is my_model.mliap in the folder."""
    potential = make_potential(head, kind=kind, **options)
    write_mliap(folder / "my_model.mliap", potential, {})
    return ScalarPathCalculator(potential)


def use(lammps, folder: Path) -> None:
    for line in (
        f"pair_style mliap unified {folder}/my_model.mliap 0",
        f"pair_coeff * * {' '.join(ELEMENTS)}",
        "compute virial all pressure NULL virial",
        "thermo_style custom step temp pe press c_virial[1]",
    ):
        lammps.command(line)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("structure", [crystal, lambda: bulk("Si", a=5.5, cubic=True)], ids=["triclinic", "cubic"])
def test_energy_forces_and_virial_are_those_of_ase(mliap, tmp_path, kind, structure):
    calculator, atoms = write(tmp_path, "panpgs", kind), structure()
    atoms.rattle(0.1, seed=1)
    loaded(mliap, atoms, tmp_path)
    use(mliap, tmp_path)
    mliap.command("compute energies all pe/atom")
    mliap.command("compute stresses all stress/atom NULL virial")
    mliap.command("run 0")
    assert_same_as_ase(mliap, calculator, atoms)
    stress = calculator.get_property("stress", atoms)
    np.testing.assert_allclose(virial_pressure(mliap), -stress, rtol=1e-6, atol=1e-9)
    energies = mliap.numpy.extract_compute("energies", 1, 1)[order_of(mliap)]
    np.testing.assert_allclose(energies, calculator.get_property("energies", atoms), rtol=1e-12)
    total = mliap.numpy.extract_compute("stresses", 1, 2).sum(0) / EV_A3_TO_BAR / atoms.get_volume()
    np.testing.assert_allclose(total[[0, 1, 2, 5, 4, 3]], stress, rtol=1e-6, atol=1e-9)


def test_a_molecule(mliap, tmp_path):
    calculator, atoms = write(tmp_path, "panpgs", "mace"), silanol()
    atoms.center(vacuum=4.0)
    atoms.pbc = False
    loaded(mliap, atoms, tmp_path)
    use(mliap, tmp_path)
    mliap.command("run 0")
    assert_same_as_ase(mliap, calculator, atoms)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trajectory_is_that_of_ase(mliap, tmp_path, kind):
    calculator, atoms = write(tmp_path, "baseline", kind), crystal()
    atoms.wrap()
    atoms.set_momenta(thermal_momenta(atoms, 1000, seed=0))
    loaded(mliap, atoms, tmp_path)
    use(mliap, tmp_path)
    for line in ("fix move all nve", "timestep 0.0005", "run 40"):
        mliap.command(line)
    atoms.calc = calculator
    VelocityVerlet(atoms, 0.5 * units.fs).run(40)
    assert mliap.get_thermo("etotal") == pytest.approx(atoms.get_total_energy(), abs=1e-6)
    assert_same_as_ase(mliap, calculator, current(mliap, atoms))


EXAMPLE_IN_PARTS = """
read_data data
replicate 2 2 2
pair_style mliap unified my_model.mliap 0
pair_coeff * * O Si
fix move all nve
thermo_style custom step pe etotal press pxy
thermo_modify format float %.15g
run 20
write_dump all custom forces id fx fy fz modify sort id format float %.17g
"""


def on_processes(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The last line of thermo and the forces, from as many processes; several have corners without an atom."""
    (folder / "input").write_text("units metal\n" + EXAMPLE_IN_PARTS)
    command = ["mpiexec", "-n", str(count), "lmp", "-in", "input", "-screen", "none"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    lines = (folder / "log.lammps").read_text().splitlines()
    end = next(k for k, line in enumerate(lines) if line.startswith("Loop time"))
    return np.array(lines[end - 1].split(), dtype=float), np.loadtxt(folder / "forces", skiprows=9)


@pytest.mark.parametrize("kind", KINDS)
def test_several_processes_compute_the_same(mliap, tmp_path, kind):
    if not (shutil.which("lmp") and shutil.which("mpiexec")):
        pytest.skip("there is no lmp or no mpiexec")
    write(tmp_path, "panpgs", kind)
    loaded(mliap, crystal(), tmp_path)
    (thermo, forces), (there, others) = (on_processes(tmp_path, count) for count in (1, 3))
    np.testing.assert_allclose(there, thermo, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(others, forces, atol=1e-9)


def test_the_documented_input_runs(mliap, tmp_path):
    if not shutil.which("lmp"):
        pytest.skip("there is no lmp")
    write_mliap(tmp_path / "my_model.mliap", make_potential("baseline"), {})
    write_examples("simulations.md", tmp_path)
    subprocess.run(["lmp", "-in", "silicon.in"], cwd=tmp_path, check=True, capture_output=True)
    assert "Loop time" in (tmp_path / "log.lammps").read_text()
