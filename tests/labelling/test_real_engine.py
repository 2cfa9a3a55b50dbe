"""The installed engine reproduces bundled labels with the recipe's settings (minutes; skipped without the engine)."""

import numpy as np
import pytest
from ase.io import read

from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.labelling.engines import MolecularDFT, PlaneWaveEngine, tight_binding_calculator
from scalarpath.labelling.label import single_point
from scalarpath.labelling.settings import CRYSTALS
from scalarpath.labelling.tasks import LabelTask

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "index"), [("si", 7), ("lif", 7), ("ag", 7)])
def test_plane_wave_labels_are_reproduced(name, index, tmp_path):
    pytest.importorskip("gpaw")
    crystal = CRYSTALS[name]
    bundled = read(BUNDLED_DIR / name / "frames.extxyz", index)
    task = LabelTask(bundled.copy())
    calculator = PlaneWaveEngine(crystal)(task, tmp_path / "log.txt")
    frame = single_point(task, calculator, crystal.pulay_constant_per_atom)
    assert frame.get_potential_energy() == pytest.approx(bundled.get_potential_energy(), abs=1e-3)
    assert np.abs(frame.get_forces() - bundled.get_forces()).max() < 5e-3
    assert np.abs(frame.get_stress() - bundled.get_stress()).max() < 1e-4


def test_a_supercell_lies_on_the_surface_of_the_cell(tmp_path):
    pytest.importorskip("gpaw")
    crystal = CRYSTALS["lif"]
    cell = read(BUNDLED_DIR / "lif" / "frames.extxyz", 0)
    task = LabelTask(cell.repeat(crystal.supercell), repeat=crystal.supercell)
    calculator = PlaneWaveEngine(crystal)(task, tmp_path / "log.txt")
    frame = single_point(task, calculator, crystal.pulay_constant_per_atom)
    assert frame.get_potential_energy() / 2 == pytest.approx(cell.get_potential_energy(), abs=1e-3)
    assert np.abs(frame.get_forces()[: len(cell)] - cell.get_forces()).max() < 5e-3
    assert np.abs(frame.get_stress() - cell.get_stress()).max() < 1e-4


def test_gfn2_labels_are_reproduced():
    pytest.importorskip("tblite")
    bundled = read(BUNDLED_DIR / "ethanol" / "frames.extxyz", 10)
    atoms = bundled.copy()
    atoms.calc = tight_binding_calculator("GFN2-xTB", accuracy=0.1)
    assert atoms.get_potential_energy() == pytest.approx(bundled.get_potential_energy(), abs=1e-5)
    assert np.abs(atoms.get_forces() - bundled.get_forces()).max() < 1e-4


def test_molecular_dft_labels_are_reproduced():
    pytest.importorskip("pyscf")
    bundled = read(BUNDLED_DIR / "ethanol" / "pbe_def2svp.extxyz", 0)
    frame = single_point(LabelTask(bundled.copy(), repeat=None), MolecularDFT())
    assert frame.get_potential_energy() == pytest.approx(bundled.get_potential_energy(), abs=1e-4)
    assert np.abs(frame.get_forces() - bundled.get_forces()).max() < 1e-3
