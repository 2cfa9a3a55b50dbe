"""The frame list is the same on every call, and is the one that the bundled files were made from."""

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read

from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.labelling.frames import (
    frame_list,
    interstitial,
    slab,
    stored_frame_list,
    strained,
    unseen_frame_list,
    vacancy,
)
from scalarpath.labelling.settings import CRYSTALS, PRIMITIVE_FRAMES, UNSEEN_FRAMES

SILVER = CRYSTALS["ag"]


def test_frame_list_is_deterministic(quick_silver, silver_frames):
    again = frame_list(quick_silver)
    assert len(again) == PRIMITIVE_FRAMES + SILVER.supercell_frames
    for first, second in zip(silver_frames, again, strict=True):
        assert first.info == second.info
        assert first.atoms == second.atoms


def test_the_bundled_file_is_a_prefix_of_the_frame_list(silver_frames):
    bundled = read(BUNDLED_DIR / "ag" / "frames.extxyz", ":")
    assert PRIMITIVE_FRAMES < len(bundled) <= len(silver_frames)
    for task, frame in zip(silver_frames, bundled, strict=False):
        kind = frame.info["config_type"]
        assert task.info["frame"] == frame.info["frame"]
        assert len(task.atoms) == len(frame)
        if "hot" in kind:
            assert "hot" in task.info["config_type"]
            continue
        assert task.info["config_type"] == kind
        assert np.abs(task.atoms.positions - frame.positions).max() < 1e-6
        assert np.abs(task.atoms.cell - frame.cell).max() < 1e-6


def test_hot_frames_leave_the_lattice(silver_frames):
    for task in silver_frames:
        if "hot" in task.info["config_type"]:
            assert set(task.atoms.arrays) == {"numbers", "positions"}  # no velocities are published
            assert task.atoms.calc is None
            fractional = task.atoms.get_scaled_positions() * 2 * np.array(task.repeat)
            assert np.abs(fractional - fractional.round()).max() > 0.01


@pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
def test_a_vacancy_takes_one_atom_of_each_element(crystal):
    perfect = crystal.conventional_cell().repeat(crystal.supercell)
    atoms = vacancy(crystal, crystal.supercell, np.random.default_rng(0))
    for element in set(perfect.numbers):
        assert (atoms.numbers == element).sum() == (perfect.numbers == element).sum() - 1


def test_a_slab_has_vacuum_above_four_layers():
    atoms = slab(SILVER, np.random.default_rng(0))
    layers = np.sort(atoms.positions[:, 2]).reshape(4, 2).mean(axis=1)
    height = layers[-1] - layers[0]
    assert np.diff(layers).min() > 1.5
    assert atoms.cell[2, 2] - height > 9.0
    assert atoms.pbc.all()


def test_a_strain_is_symmetric_and_carries_the_atoms_along():
    before = SILVER.conventional_cell()
    after = strained(before.copy(), np.random.default_rng(0), 0.03)
    deformation = np.linalg.solve(before.cell.array, after.cell.array)
    assert np.allclose(deformation, deformation.T)
    assert not np.allclose(deformation, np.eye(3), atol=1e-3)
    assert np.allclose(before.get_scaled_positions(), after.get_scaled_positions())


def test_the_stored_list_is_read_back_and_not_drawn_again(tmp_path, silver_frames):
    path = tmp_path / "new" / "frames_inputs.extxyz"
    drawn = stored_frame_list(SILVER, path, lambda crystal: silver_frames)
    stored = stored_frame_list(SILVER, path, lambda crystal: pytest.fail("drawn again"))
    for task, first, second in zip(silver_frames, drawn, stored, strict=True):
        assert first.info == second.info == task.info
        assert first.repeat == second.repeat == task.repeat
        assert first.atoms == second.atoms
        assert np.abs(first.atoms.positions - task.atoms.positions).max() < 1e-7


@pytest.fixture(scope="module")
def unseen_silver(quick_silver):
    return unseen_frame_list(quick_silver)


def test_unseen_frames_are_none_of_the_training_frames(unseen_silver, silver_frames):
    known = {task.atoms.positions.tobytes() for task in silver_frames}
    assert len(unseen_silver) == UNSEEN_FRAMES
    assert not known & {task.atoms.positions.tobytes() for task in unseen_silver}
    kinds = {task.info["config_type"].rstrip("0123456789") for task in unseen_silver}
    assert kinds == {"vacancy", "slab", "supercell_hot"}


@pytest.mark.parametrize("name", CRYSTALS)
def test_an_interstitial_adds_an_atom_or_moves_one_of_a_salt(name, monkeypatch):
    monkeypatch.setattr("scalarpath.labelling.frames.sampling_calculator", lambda crystal: Still())
    crystal = CRYSTALS[name]
    perfect = crystal.conventional_cell().repeat(crystal.unseen_supercell)
    atoms = interstitial(crystal, crystal.unseen_supercell, np.random.default_rng(0))
    counts = [(perfect.numbers == z).sum() for z in dict.fromkeys(perfect.numbers)]
    salt = len(counts) > 1
    assert [(atoms.numbers == z).sum() for z in dict.fromkeys(perfect.numbers)] == [n + (not salt) for n in counts]
    assert atoms.calc is None
    scale = (atoms.cell.volume / perfect.cell.volume) ** (1 / 3)
    there = np.linalg.norm(atoms.positions - perfect.positions[:, None] * scale, axis=2).min(axis=0) > 1.0
    assert there.sum() == 1  # one atom is at a site of none of the perfect crystal


def test_the_surroundings_of_an_interstitial_have_made_room():
    relaxed = interstitial(SILVER, (2, 2, 2), np.random.default_rng(0))
    nearest = np.sort(relaxed.get_distances(-1, range(len(relaxed) - 1), mic=True))[:6]
    assert nearest.mean() > 1.04 * 1.02 * SILVER.lattice_constant / 2


class Still(Calculator):
    """A potential without forces."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - declared as ASE declares it

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}
