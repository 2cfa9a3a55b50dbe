"""Equation of state and elastic constants against closed formulas, published values and identities."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from static_potentials import Altered, WithoutStress, closing_lennard_jones, morse, springs

from scalarpath.artifacts.materials import MATERIALS
from scalarpath.artifacts.measures.elastic import (
    SCALES,
    elastic_constants,
    equation_of_state,
    fit_equation_of_state,
    measure_elastic,
)
from scalarpath.artifacts.oracles import oracle
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.artifacts.stored_values import StoredValues
from scalarpath.core.errors import ArtifactError

SILVER, SILICON = MATERIALS["ag"], MATERIALS["si"]
FULL = measure_settings(preset("full"))["elastic"]
LENGTH = MATERIALS["ag"].nearest_neighbour


def test_a_spring_crystal_has_the_textbook_constants():
    stiffness = 3.0
    result = measure_elastic(springs(stiffness, LENGTH, 1.2 * LENGTH), SILVER, FULL)
    c11 = 2**0.5 * stiffness / LENGTH / units.GPa
    assert result.equation_of_state.lattice_constant_A == pytest.approx(4.15, abs=2e-4)
    assert result.elastic_GPa["c11"] == pytest.approx(c11, rel=1e-3)
    assert result.elastic_GPa["c12"] == pytest.approx(c11 / 2, rel=1e-3)
    assert result.elastic_GPa["c44"] == pytest.approx(c11 / 2, rel=1e-3)
    assert result.equation_of_state.bulk_modulus_GPa == pytest.approx(2 * c11 / 3, rel=0.02)


def test_the_fit_is_that_of_ase():
    cells = [SILVER.conventional_cell(scale * SILVER.lattice_constant_A) for scale in SCALES]
    energies = []
    for cell in cells:
        cell.calc = EMT()
        energies.append(cell.get_potential_energy() / len(cell))
    fit = fit_equation_of_state(SILVER, SCALES, energies)
    volumes = [cell.get_volume() / len(cell) for cell in cells]
    volume, energy, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    assert fit.lattice_constant_A == pytest.approx((4 * volume) ** (1 / 3), rel=1e-9)
    assert fit.energy_eV_atom == pytest.approx(energy, abs=1e-9)
    assert fit.bulk_modulus_GPa == pytest.approx(modulus / units.GPa, rel=1e-7)


def test_a_pair_potential_obeys_the_cauchy_relation_and_its_constants_give_its_bulk_modulus():
    result = measure_elastic(closing_lennard_jones(epsilon=0.6, sigma=2.7), SILVER, FULL)
    constants = result.elastic_GPa
    assert constants["c12"] == pytest.approx(constants["c44"], rel=5e-3)
    bulk = (constants["c11"] + 2 * constants["c12"]) / 3
    assert result.equation_of_state.bulk_modulus_GPa == pytest.approx(bulk, rel=0.03)


def test_a_many_body_potential_does_not_obey_the_cauchy_relation_but_gives_its_bulk_modulus():
    result = measure_elastic(EMT(), SILVER, FULL)
    constants = result.elastic_GPa
    assert constants["c12"] > 1.2 * constants["c44"]
    bulk = (constants["c11"] + 2 * constants["c12"]) / 3
    assert result.equation_of_state.bulk_modulus_GPa == pytest.approx(bulk, rel=0.02)


def test_stillinger_weber_silicon_has_the_published_constants_relaxed_and_clamped():
    # Balamane, Halicioglu and Tiller, Phys. Rev. B 46, 2250 (1992); clamped: matscipy's analytical Born term
    result = measure_elastic(oracle("si_sw")(), SILICON, FULL)
    published = {"c11": 151.4, "c12": 76.4, "c44": 56.4, "c44_clamped": 109.76}
    for name, value in published.items():
        assert result.elastic_GPa[name] == pytest.approx(value, rel=2e-3), name
    assert result.equation_of_state.lattice_constant_A == pytest.approx(5.431, abs=1e-3)
    assert result.equation_of_state.energy_eV_atom == pytest.approx(-4.3363, abs=1e-3)
    assert result.equation_of_state.bulk_modulus_GPa == pytest.approx(101.4, rel=0.01)


def test_a_softened_crystal_is_softer_by_as_much_and_keeps_its_lattice_constant():
    result = measure_elastic(Altered(EMT(), 0.8), SILVER, FULL, EMT())
    assert result.lattice_constant_error_A == pytest.approx(0.0, abs=1e-9)
    assert result.bulk_modulus_relative_error == pytest.approx(-0.2)
    assert result.elastic_relative_error == pytest.approx(dict.fromkeys(("c11", "c12", "c44", "c44_clamped"), -0.2))


def test_signed_errors_are_model_minus_stored_reference():
    state = {"lattice_constant_A": 4.0, "energy_eV_atom": 0.1, "bulk_modulus_GPa": 50.0}
    result = measure_elastic(EMT(), SILVER, FULL, StoredValues("ag", "", equation_of_state=state))
    found = result.equation_of_state
    assert result.reference == state
    assert result.lattice_constant_error_A == pytest.approx(found.lattice_constant_A - 4.0)
    assert result.energy_error_meV_atom == pytest.approx(1e3 * (found.energy_eV_atom - 0.1))
    assert result.bulk_modulus_relative_error == pytest.approx(found.bulk_modulus_GPa / 50.0 - 1)
    assert result.elastic_relative_error == {}


def test_without_reference_errors_are_nan():
    result = measure_elastic(EMT(), SILVER, FULL)
    assert np.isnan([result.lattice_constant_error_A, result.energy_error_meV_atom]).all()
    assert np.isnan(result.bulk_modulus_relative_error)


def test_the_fit_recovers_a_birch_murnaghan_curve():
    silver = MATERIALS["ag"]
    volume0, energy0, modulus, derivative = 17.5, -2.5, 0.55, 4.5
    volumes = np.array(SCALES) ** 3 * 4.15**3 / 4
    squeeze = (volume0 / volumes) ** (2 / 3)
    energies = energy0 + 9 * volume0 * modulus / 16 * (
        (squeeze - 1) ** 3 * derivative + (squeeze - 1) ** 2 * (6 - 4 * squeeze)
    )
    fit = fit_equation_of_state(silver, SCALES, energies)
    assert fit.lattice_constant_A == pytest.approx((4 * volume0) ** (1 / 3), rel=1e-9)
    assert fit.energy_eV_atom == pytest.approx(energy0, rel=1e-9)
    assert fit.bulk_modulus_GPa == pytest.approx(modulus / units.GPa, rel=1e-7)


def test_a_crystal_without_minimum_in_the_range_is_nan_and_said():
    result = measure_elastic(morse(minimum=2.0, cutoff=3.5), SILVER, FULL)
    assert np.isnan(result.equation_of_state.lattice_constant_A)
    assert np.isnan(list(result.elastic_GPa.values())).all()
    assert result.notes == ["no minimum of the energy between linear scales 0.96 and 1.04"]
    assert len(result.equation_of_state.energies_eV_atom) == len(SCALES)


def test_without_stress_there_are_no_constants_but_an_equation_of_state():
    result = measure_elastic(WithoutStress(EMT()), SILVER, FULL)
    assert np.isnan(list(result.elastic_GPa.values())).all()
    assert np.isfinite(result.equation_of_state.bulk_modulus_GPa)
    assert "gives no stress" in result.notes[0]


def test_atoms_that_do_not_relax_leave_c44_unknown_and_the_clamped_value_known():
    settings = replace(FULL, relaxation_steps=1)
    result = measure_elastic(oracle("si_sw")(), SILICON, settings)
    assert np.isnan(result.elastic_GPa["c44"])
    assert np.isfinite(result.elastic_GPa["c44_clamped"])
    assert result.notes == ["c44: atoms of a strained cell did not relax in 1 steps"]


def test_the_size_of_the_strain_does_not_matter():
    cell = MATERIALS["ag"].conventional_cell(equation_of_state(EMT(), MATERIALS["ag"]).lattice_constant_A)
    small, large = (elastic_constants(EMT(), cell, replace(FULL, strain=strain)) for strain in (0.002, 0.01))
    assert small == pytest.approx(large, rel=0.01)


def test_results_are_json():
    result = measure_elastic(Altered(EMT(), 0.8), SILVER, FULL, EMT())
    assert "elastic_GPa" in json.loads(json.dumps(asdict(result)))


def test_a_molecule_is_refused():
    with pytest.raises(ArtifactError, match="'ethanol' is a molecule"):
        measure_elastic(EMT(), MATERIALS["ethanol"], FULL)
