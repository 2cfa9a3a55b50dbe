"""The order of six stress numbers against the symmetry of the structures."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from scalarpath.core.errors import DataError
from scalarpath.core.units import STRESS_ORDERS
from scalarpath.data.config import DataConfig
from scalarpath.data.labelled import read_labelled, stop_if_suspicious
from scalarpath.data.labels import numbers_of


def sheared(order, rattle=0.0):
    """Sheared copper cells, one shear or two at a time, with the stress of EMT as six numbers in an order."""
    frames, rng = [], np.random.default_rng(0)
    for k, strain in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1)]):
        atoms = bulk("Cu", cubic=True)
        yz, xz, xy = 0.02 * np.array(strain)
        atoms.set_cell(atoms.cell.array @ [[1, xy, xz], [xy, 1, yz], [xz, yz, 1.01]], scale_atoms=True)
        atoms.positions += rng.normal(scale=rattle, size=(4, 3))
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
        atoms.calc = None
        atoms.info |= {"energy": energy + 0.1 * k, "virial_stress": numbers_of(stress, order)}
        atoms.arrays["forces"] = forces
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("written", STRESS_ORDERS)
@pytest.mark.parametrize("read", STRESS_ORDERS)
def test_symmetric_cells_tell_the_order(write, written, read):
    path = write(sheared(written))
    config = DataConfig.read({"path": path, "stress_key": "virial_stress", "stress_order": read})
    audit = read_labelled(config).audit
    found = [text for text in audit.suspicions if "stress_order" in text]
    assert not any("stress_order" in text for text in audit.warnings)
    assert len(found) == (written != read)
    if found:
        assert f"in the order {STRESS_ORDERS[read]} break the symmetry" in found[0]
        assert f"set data.stress_order={written}," in found[0]


def test_a_shear_in_one_plane_leaves_two_orders_that_fit(write):
    path = write(sheared("vasp")[2:3] * 2)
    found = read_labelled(DataConfig.read({"path": path, "stress_key": "virial_stress"})).audit.suspicions
    assert "set data.stress_order=vasp or lammps, or data.on_suspicious=warn" in found[-1]
    audit = read_labelled(DataConfig.read({"path": path, "stress_key": "virial_stress", "stress_order": "vasp"})).audit
    assert not any("stress_order" in text for text in audit.suspicions + audit.warnings)


def test_frames_without_symmetry_tell_nothing_and_that_is_said(write):
    path = write(sheared("vasp", rattle=0.05))
    config = DataConfig.read({"path": path, "stress_key": "virial_stress"})
    audit = read_labelled(config).audit
    stop_if_suspicious(audit, config)
    expected = f"{path}, frame 0: the six numbers of the stress are read in the order xx yy zz yz xz xy; no frame has"
    assert [text.startswith(expected) for text in audit.warnings if "stress_order" in text] == [True]


def test_damaged_frames_are_left_to_their_own_sentence(write):
    frames = sheared("vasp")
    frames[0].positions[0, 0] = np.inf
    frames[1].positions[1] = frames[1].positions[0]
    frames[2].cell[2] = 0.0
    config = DataConfig.read({"path": write(frames), "stress_key": "virial_stress", "stress_order": "vasp"})
    with pytest.raises(DataError, match="frame 2: periodic in all directions but the cell has no volume"):
        read_labelled(config)
    frames[2] = frames[3]
    config = DataConfig.read({"path": write(frames), "stress_key": "virial_stress", "stress_order": "vasp"})
    assert not any("stress_order" in text for text in read_labelled(config).audit.suspicions)
