"""The smoothness scan on curves that are smooth, or have one fault of known size."""

import json
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from ase.calculators.emt import EMT
from static_potentials import Altered, Network, PairPotential, closing_lennard_jones, lennard_jones

from scalarpath.artifacts.materials import MATERIALS
from scalarpath.artifacts.measures.smoothness import analyse_line, measure_smoothness
from scalarpath.artifacts.registry import measure_settings, preset

SILVER = MATERIALS["ag"]
SMOKE = measure_settings(preset("smoke"))["smoothness"]
FINE = replace(SMOKE, points=401)
POSITIONS = np.linspace(0.0, 2.0, 201)


def line(energies, forces=None):
    forces = -np.gradient(energies, POSITIONS, edge_order=2) if forces is None else forces
    return analyse_line("line", POSITIONS, energies, forces, partial(np.interp, xp=POSITIONS, fp=energies), 1e-5)


def dimer(result):
    return next(item for item in result.lines if item.name == "dimer_AgAg")


def test_a_smooth_potential_passes_every_measure():
    result = measure_smoothness(closing_lennard_jones(sigma=2.7), SILVER, FINE)
    assert [item.name for item in result.lines] == ["dimer_AgAg", "atom_in_crystal"]
    for item in result.lines:
        assert item.energy_jump < 2e-3
        assert item.energy_jump_order == pytest.approx(3.0, abs=0.3)
    assert result.max_force_energy_mismatch_eV_A < 1e-6
    assert result.spurious_minima == 0
    assert dimer(result).minima == 1
    # the inflection beyond the minimum, where the force is most attractive, is the only one
    assert dimer(result).curvature_sign_changes == 1


def test_an_energy_that_stops_at_the_cutoff_is_a_step_of_known_size():
    energy_at_cutoff = 4 * 0.6 * ((2.6 / 5.0) ** 12 - (2.6 / 5.0) ** 6)
    found = dimer(measure_smoothness(lennard_jones(cutoff=5.0), SILVER, FINE))
    # start after the wall, so that the step is a visible part of the range
    energies, positions = np.array(found.energy_eV), np.array(found.position_A)
    beyond = positions > 3.5
    energy = partial(np.interp, xp=positions, fp=energies)
    cut = analyse_line("cut", positions[beyond], energies[beyond], np.array(found.force_eV_A)[beyond], energy, 1e-5)
    assert cut.energy_jump == pytest.approx(2 * abs(energy_at_cutoff) / np.ptp(energies[beyond]), rel=0.05)
    assert cut.energy_jump_order == pytest.approx(0.0, abs=0.1)
    assert cut.max_force_energy_mismatch_eV_A > 1.0


def test_the_jump_of_a_step_does_not_depend_on_the_grid_and_that_of_a_smooth_curve_does():
    smooth, step = np.cos(POSITIONS), np.cos(POSITIONS) + 0.1 * (POSITIONS > 1.005)
    assert line(step).energy_jump == pytest.approx(0.2 / np.ptp(step), rel=0.02)
    assert line(step).energy_jump_order == pytest.approx(0.0, abs=0.01)
    assert line(smooth).energy_jump < 1e-6
    assert line(smooth).energy_jump_order == pytest.approx(3.0, abs=0.1)


def test_a_kink_of_the_energy_has_order_one_and_is_a_step_of_the_force():
    found = line(np.cos(POSITIONS) + 0.1 * np.abs(POSITIONS - 1.0), np.sin(POSITIONS) - 0.1 * np.sign(POSITIONS - 1.0))
    assert found.energy_jump_order == pytest.approx(1.0, abs=0.1)
    assert found.force_jump_order == pytest.approx(0.0, abs=0.1)


def test_forces_that_are_not_the_slope_of_the_energy_are_caught_at_their_size():
    leaky = Altered(closing_lennard_jones(), force_change=lambda forces: 1.05 * forces)
    found, honest = (dimer(measure_smoothness(model, SILVER, FINE)) for model in (leaky, closing_lennard_jones()))
    largest = np.abs(honest.force_eV_A).max()
    assert honest.max_force_energy_mismatch_eV_A < 1e-6
    assert found.max_force_energy_mismatch_eV_A == pytest.approx(0.05 * largest, rel=0.02)


def test_a_conservative_bump_narrower_than_the_grid_is_no_leak():
    smooth = closing_lennard_jones()

    def bump(r):
        return 0.05 * np.exp(-(((r - 4.0) / 0.02) ** 2))

    narrow = PairPotential(
        lambda r: smooth.energy_of(r) + bump(r), lambda r: smooth.slope_of(r) - 2 * (r - 4.0) / 0.02**2 * bump(r), 5.0
    )
    found = dimer(measure_smoothness(narrow, SILVER, replace(FINE, points=161)))
    assert found.energy_jump_order < 2.0
    assert found.max_force_energy_mismatch_eV_A < 1e-3
    assert found.spurious_minima == 1


def test_ripples_are_counted_as_spurious_minima_and_curvature_changes():
    smooth = closing_lennard_jones()

    def window(r):
        return np.where((r > 2.6) & (r < 4.6), np.sin(np.pi * (r - 2.6) / 2) ** 2, 0.0)

    rippled = PairPotential(
        lambda r: smooth.energy_of(r) + 0.3 * window(r) * np.cos(8 * np.pi * r), smooth.slope_of, 5.0
    )
    found = dimer(measure_smoothness(rippled, SILVER, FINE))
    assert found.spurious_minima >= 5
    assert found.minima == found.spurious_minima + 1


def test_noise_below_the_threshold_is_no_minimum():
    rng = np.random.default_rng(0)
    bowl = (POSITIONS - 1.0) ** 4
    assert line(bowl + 1e-6 * rng.normal(size=201)).spurious_minima == 0
    assert line(bowl + 1e-2 * rng.normal(size=201)).spurious_minima > 0


def test_a_constant_energy_has_no_scale_and_is_said():
    nothing = PairPotential(lambda r: 0 * r, lambda r: 0 * r, 5.0)
    result = measure_smoothness(nothing, SILVER, SMOKE)
    assert np.isnan(dimer(result).energy_jump)
    assert np.isnan(result.worst_energy_jump)
    assert "dimer_AgAg: the energy is constant" in result.notes


def test_one_constant_line_does_not_hide_the_others():
    beyond = PairPotential(lambda r: np.where(r > 2.9, 0.1 * (r - 2.9) ** 2, 0.0), lambda r: 0 * r, 5.0)
    result = measure_smoothness(beyond, SILVER, replace(SMOKE, highest_pair_distance_A=2.8))
    assert np.isnan(dimer(result).energy_jump)
    assert np.isfinite(result.worst_energy_jump)


def test_every_bond_of_a_molecule_is_stretched():
    result = measure_smoothness(Network(MATERIALS["ethanol"].molecule(), 2.0), MATERIALS["ethanol"], SMOKE)
    assert [item.name for item in result.lines] == ["bond_CC", "bond_CO", "bond_HO", "bond_HC"]
    assert result.spurious_minima == 0


def test_smoke_keeps_the_scan_of_a_crystal_short():
    result = measure_smoothness(EMT(), SILVER, SMOKE)
    assert all(len(item.energy_eV) == 121 for item in result.lines)
    assert json.loads(json.dumps(asdict(result)))["material"] == "ag"
