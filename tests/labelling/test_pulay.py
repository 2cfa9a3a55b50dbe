"""The Pulay correction: its formula, its scaling with the cell, and its measurement on an equation of state."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from scalarpath.core.errors import DataError
from scalarpath.labelling.pulay import correct_stress, fit_pulay_constant
from scalarpath.labelling.settings import CRYSTALS


def _equation_of_state(constant_per_atom: float):
    curve = []
    for scale in np.linspace(0.92, 1.04, 9):
        atoms = bulk("Ag", "fcc", a=4.1 * scale, cubic=True)
        calculator = EMT()
        stress = calculator.get_stress(atoms)
        stress[:3] += constant_per_atom * len(atoms) / atoms.get_volume()
        atoms.info["linear_scale"] = scale
        atoms.calc = SinglePointCalculator(atoms, energy=calculator.get_potential_energy(atoms), stress=stress)
        curve.append(atoms)
    return curve


def test_correction_is_c_over_v_on_the_diagonal_only():
    silver = CRYSTALS["ag"]
    cell = silver.conventional_cell()
    corrected = correct_stress(np.arange(6.0), cell, silver.pulay_constant_per_atom)
    expected = np.arange(6.0)
    expected[:3] -= 2.075 / cell.get_volume()
    assert np.allclose(corrected, expected, rtol=1e-14)


def test_correction_is_intensive_and_follows_the_number_of_atoms():
    silver = CRYSTALS["ag"]
    cell = silver.conventional_cell()
    supercell = cell.repeat((2, 2, 1))
    once = correct_stress(np.zeros(6), cell, silver.pulay_constant_per_atom)
    assert np.allclose(correct_stress(np.zeros(6), supercell, silver.pulay_constant_per_atom), once, rtol=1e-14)
    del supercell[0]
    vacancy = correct_stress(np.zeros(6), supercell, silver.pulay_constant_per_atom)
    assert np.allclose(vacancy, once * 15 / 16, rtol=1e-14)


@pytest.mark.parametrize("constant", [0.0, 0.5])
def test_the_fit_finds_the_constant_that_was_put_in(constant):
    assert fit_pulay_constant(_equation_of_state(constant)) == pytest.approx(constant, abs=1e-3)


def test_the_fit_says_which_frame_lacks_a_label():
    curve = _equation_of_state(0.0)
    del curve[2].calc.results["stress"]
    with pytest.raises(DataError, match=r"frame 2 .* stress"):
        fit_pulay_constant(curve)


def test_the_fit_asks_for_enough_cells():
    with pytest.raises(DataError, match="at least 4"):
        fit_pulay_constant(_equation_of_state(0.0)[:3])
