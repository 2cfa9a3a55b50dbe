"""Folding a k grid must keep exactly the Bloch states of the conventional cell."""

import numpy as np
import pytest
from ase.dft.kpoints import monkhorst_pack

from scalarpath.core.errors import ConfigError
from scalarpath.labelling.kpoints import folded_kpoints
from scalarpath.labelling.settings import CRYSTALS


def _states(kpoints: np.ndarray, repeat: tuple[int, int, int]) -> set[tuple[float, ...]]:
    """The k-points of the conventional cell that the supercell's k-points stand for, modulo 1."""
    states = set()
    for point in kpoints:
        for image in np.ndindex(*repeat):
            state = (point + image) / np.array(repeat)
            states.add(tuple((state - np.floor(state + 1e-9)).round(8) + 0.0))
    return states


@pytest.mark.parametrize(
    ("grid", "repeat"),
    [
        ((3, 3, 3), (1, 1, 1)),
        ((3, 3, 3), (3, 1, 1)),
        ((2, 2, 2), (2, 1, 1)),
        ((4, 4, 4), (2, 2, 1)),
        ((4, 4, 4), (1, 1, 4)),
    ],
)
def test_supercell_samples_the_states_of_the_cell_once_each(grid, repeat):
    folded = folded_kpoints(grid, repeat)
    assert len(folded) * np.prod(repeat) == np.prod(grid)  # equal weights then sum to one on both sides
    assert _states(folded, repeat) == _states(monkhorst_pack(grid), (1, 1, 1))
    assert (np.abs(folded) <= 0.5).all()


def test_a_repetition_that_does_not_divide_the_grid_is_refused():
    with pytest.raises(ConfigError, match="does not divide"):
        folded_kpoints((3, 3, 3), (2, 1, 1))


@pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
def test_every_supercell_of_the_recipes_divides_its_grid(crystal):
    for repeat in (crystal.supercell, crystal.unseen_supercell, crystal.slab):
        assert len(folded_kpoints(crystal.kpoint_grid, repeat)) * np.prod(repeat) == np.prod(crystal.kpoint_grid)
