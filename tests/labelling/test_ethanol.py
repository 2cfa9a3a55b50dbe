"""The ethanol trajectory is deterministic and ordered in time, and relabelling keeps the identity of its frames."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.io import read

from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.labelling.ethanol import EQUILIBRATION, STRIDE, relabel_tasks, sample_trajectory


@pytest.fixture(scope="module")
def trajectory():
    return sample_trajectory(3, EMT())


def test_trajectory_is_deterministic(trajectory):
    relaxed, frames = trajectory
    relaxed_again, frames_again = sample_trajectory(3, EMT())
    assert relaxed == relaxed_again
    assert frames == frames_again
    assert frames[0] != frames[1]


def test_frames_carry_labels_time_and_no_velocities(trajectory):
    _, frames = trajectory
    for index, frame in enumerate(frames):
        assert frame.info == {"config_type": "md500", "frame": index, "step": EQUILIBRATION + STRIDE * (index + 1)}
        assert "momenta" not in frame.arrays
        structure = frame.copy()
        structure.calc = EMT()
        assert frame.get_potential_energy() == pytest.approx(structure.get_potential_energy())
        assert np.allclose(frame.get_forces(), structure.get_forces())


def test_relabelling_picks_the_frames_of_the_bundled_file():
    tasks = relabel_tasks(read(BUNDLED_DIR / "ethanol" / "frames.extxyz", ":"), 30)
    relabelled = read(BUNDLED_DIR / "ethanol" / "pbe_def2svp.extxyz", ":")
    for task, frame in zip(tasks, relabelled, strict=True):
        assert task.info["frame"] == frame.info["frame"]
        assert task.info["step"] == frame.info["step"]
        assert np.array_equal(task.atoms.positions, frame.positions)
        assert task.repeat is None
