"""Phonon patterns and frequencies, and which points each curve has."""

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from scalarpath.core.errors import ConfigError
from scalarpath.labelling.curves import CURVES, curve_tasks, frozen_phonon_frequency, phonon_patterns
from scalarpath.labelling.settings import CRYSTALS


class Einstein(Calculator):
    """Every atom on a spring at its site: the frequency is known."""

    implemented_properties = ("energy", "forces")

    def __init__(self, sites, stiffness):
        super().__init__()
        self.sites, self.stiffness = sites, stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        displacement = atoms.positions - self.sites
        self.results = {
            "energy": 0.5 * self.stiffness * (displacement**2).sum(),
            "forces": -self.stiffness * displacement,
        }


def test_frequency_of_a_known_oscillator():
    silicon = CRYSTALS["si"]
    (pattern,) = phonon_patterns(silicon).values()
    atoms = silicon.conventional_cell()
    calculator = Einstein(atoms.positions.copy(), stiffness=10.0)
    atoms.info["amplitude"] = 0.01
    atoms.positions += 0.01 * pattern
    atoms.calc = calculator
    omega = np.sqrt(10.0 * 1.602176634e-19 / 1e-20 / (28.085 * 1.66053907e-27))
    assert frozen_phonon_frequency(atoms, pattern) == pytest.approx(omega / (2 * np.pi) * 1e-12, rel=1e-6)


@pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
def test_patterns_keep_the_centre_of_mass_at_rest(crystal):
    masses = crystal.conventional_cell().get_masses()
    for pattern in phonon_patterns(crystal).values():
        assert np.allclose(masses @ pattern, 0.0, atol=1e-10)
        assert np.abs(pattern).max(axis=1).min() > 0.1  # every atom moves


def test_silicon_sublattices_move_against_each_other():
    (pattern,) = phonon_patterns(CRYSTALS["si"]).values()
    atoms = CRYSTALS["si"].conventional_cell()
    distances = atoms.get_all_distances(mic=True)
    neighbours = np.argwhere((distances > 0.1) & (distances < 2.5))
    assert len(neighbours) == 8 * 4
    assert all(pattern[i, 2] == -pattern[j, 2] for i, j in neighbours)


def test_dimers_are_molecules_without_stress():
    for crystal in CRYSTALS.values():
        for task in curve_tasks(crystal, "dimer"):
            assert task.repeat is None
            assert task.atoms.get_distance(0, 1) == pytest.approx(task.info["distance"])


def test_an_unknown_curve_is_refused():
    with pytest.raises(ConfigError, match=", ".join(CURVES)):
        curve_tasks(CRYSTALS["si"], "band_structure")
