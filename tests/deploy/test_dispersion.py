"""D3 of a library on top of a potential."""

from __future__ import annotations

import numpy as np
import pytest
from samples import make_potential, quartz_like, silanol

from scalarpath.deploy import ScalarPathCalculator

library = pytest.importorskip("dftd3.ase", reason="dftd3 is not installed: pip install 'scalarpath[dispersion]'")


@pytest.mark.parametrize(
    ("structure", "names"), [(quartz_like, ("energy", "forces", "stress")), (silanol, ("energy", "forces"))]
)
def test_energy_forces_and_stress_add_up(structure, names):
    potential, d3 = ScalarPathCalculator(make_potential("baseline")), library.DFTD3(method="PBE", damping="d3bj")
    atoms = structure()
    calculator = d3.add_calculator(potential)
    for name in names:
        parts = [each.get_property(name, atoms) for each in (potential, d3)]
        assert np.abs(parts[1]).max() > 1e-4
        np.testing.assert_allclose(calculator.get_property(name, atoms), parts[0] + parts[1], atol=1e-10)


def test_the_example_runs(example):
    assert np.isfinite(example("dispersion.py")["atoms"].get_stress()).all()
