"""Short-range repulsion on walls whose slope, turning points and faults are known."""

import json
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from static_potentials import Altered, PairPotential, WithoutStress, lennard_jones, morse

from scalarpath.artifacts.materials import MATERIALS
from scalarpath.artifacts.measures.repulsion import (
    Repulsion,
    measure_repulsion,
    scan_distances,
    shortest_distances,
    training_reach,
)
from scalarpath.artifacts.measures.softening import softening_of_top_forces
from scalarpath.artifacts.measures.walls import (
    CompressedCrystal,
    energy_slope,
    free_pair,
    wall_curve,
    wall_distances,
    wall_scans,
)
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.artifacts.stored_values import StoredValues
from scalarpath.core.errors import ArtifactError

SILVER = MATERIALS["ag"]
SMOKE, FULL = (measure_settings(preset(size))["repulsion"] for size in ("smoke", "full"))
ARGON_LIKE = lennard_jones(sigma=2.5)  # a crystal of about the lattice constant of silver


def wall(result, name):
    return next(item for item in result.walls if item.name == name)


def test_a_perfect_model_has_slope_one_and_no_error_on_every_wall():
    result = measure_repulsion(EMT(), SILVER, SMOKE, EMT())
    assert [item.name for item in result.walls] == ["dimer_AgAg", "crystal", "pair_in_crystal"]
    assert result.softening_slope == pytest.approx(1.0, abs=1e-12)
    for item in result.walls:
        assert item.wall.relative_force_error_max == pytest.approx(0.0, abs=1e-9)
        assert all(error == 0 for error in item.wall_distance_error_A.values() if np.isfinite(error))


def test_a_wall_scaled_by_0_8_has_slope_0_8_exactly_and_lets_atoms_come_closer():
    result = measure_repulsion(Altered(ARGON_LIKE, 0.8), SILVER, SMOKE, ARGON_LIKE)
    assert result.softening_slope == pytest.approx(0.8, abs=1e-12)
    for item in result.walls:
        assert item.wall.softening_slope == pytest.approx(0.8, abs=1e-12)
        assert item.wall.relative_force_error_median == pytest.approx(0.2, abs=1e-9)
        assert item.wall_distance_error_A["at_1eV"] < -0.005


def test_a_wall_scaled_by_1_25_is_too_hard_and_the_sign_says_so():
    result = measure_repulsion(Altered(ARGON_LIKE, 1.25), SILVER, SMOKE, ARGON_LIKE)
    assert result.softening_slope == pytest.approx(1.25)
    assert wall(result, "dimer_AgAg").wall_distance_error_A["at_1eV"] > 0.005


def test_turning_points_of_a_morse_dimer_are_the_analytic_ones():
    result = measure_repulsion(morse(depth=2.0, width=1.5, minimum=2.58), SILVER, FULL, None)
    found = wall(result, "dimer_AgAg").wall_distance_A
    for level in (1, 5, 10):
        assert found[f"at_{level}eV"] == pytest.approx(2.58 - np.log(1 + np.sqrt(level / 2.0)) / 1.5, abs=2e-4)


def test_turning_points_of_a_lennard_jones_dimer_are_the_analytic_ones():
    result = measure_repulsion(lennard_jones(epsilon=0.6, sigma=2.3), SILVER, FULL, None)
    for level, found in zip((1, 5), wall(result, "dimer_AgAg").wall_distance_A.values(), strict=False):
        sixth = (1 + np.sqrt(level / 0.6)) / 2  # 4 eps (x^2 - x) + eps = level, x = (sigma / r)^6
        assert found == pytest.approx(2.3 / sixth ** (1 / 6), abs=3e-4)


def test_a_minimum_shifted_inwards_shifts_every_turning_point_by_as_much():
    result = measure_repulsion(morse(minimum=2.50), SILVER, FULL, morse(minimum=2.58))
    errors = wall(result, "dimer_AgAg").wall_distance_error_A
    assert list(errors.values()) == pytest.approx([-0.08] * 3, abs=5e-4)


def test_turning_points_from_seven_labelled_points_are_good_to_some_milliangstrom():
    scan = free_pair("Ag", "Ag", 2.58)
    sparse = wall_curve(scan, morse(), np.array([1.5, 1.7, 1.9, 2.1, 2.3, 2.5, 2.8, 3.3]))
    found = wall_distances(sparse, 2.58, (1.0, 5.0))
    expected = [2.58 - np.log(1 + np.sqrt(level / 2.0)) / 1.5 for level in (1, 5)]
    assert list(found.values()) == pytest.approx(expected, abs=3e-3)


def holed_morse(at_A):
    """The Morse potential of ``morse`` with a hole of 12 eV in its wall."""
    clean = morse()

    def well(r):
        return 12.0 * np.exp(-(((r - at_A) / 0.12) ** 2))

    return PairPotential(
        lambda r: clean.energy_of(r) - well(r), lambda r: clean.slope_of(r) + 2 * (r - at_A) / 0.12**2 * well(r), 6.0
    )


def test_a_hole_in_the_wall_is_seen_and_a_clean_wall_has_none():
    models = morse(), holed_morse(1.9)
    good, bad = (wall(measure_repulsion(model, SILVER, SMOKE), "dimer_AgAg").wall for model in models)
    assert (good.monotonic_fraction, good.force_sign_flips) == (1.0, 0)
    assert bad.monotonic_fraction < 0.95
    assert bad.force_sign_flips == 2


def test_a_hole_deeper_than_the_minimum_is_not_taken_for_the_minimum():
    curve = wall_curve(free_pair("Ag", "Ag", 2.58), morse(), np.linspace(1.4, 2.8, 60))
    energy = np.array(curve.energy_eV)
    energy[:10] = -500.0
    holed = replace(curve, energy_eV=energy.tolist())
    expected = 2.58 - np.log(1 + np.sqrt(1 / 2.0)) / 1.5
    assert wall_distances(holed, 2.58, (1.0,))["at_1eV"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("at_A", [1.4, 2.05])
def test_a_curve_with_a_hole_lies_on_its_reference_where_the_two_agree(at_A):
    result = measure_repulsion(holed_morse(at_A), SILVER, SMOKE, morse())
    every = Repulsion().curves({"model": json.loads(json.dumps(asdict(result)))})
    reference, holed = (curve for curve in every if curve.panel == "dimer AgAg")
    outside = reference.x > 2.45
    assert outside.sum() > 2
    np.testing.assert_allclose(holed.y[outside], reference.y[outside], atol=1e-3)


def test_heights_are_measured_from_the_minimum_of_a_stored_curve_that_reaches_far_beyond_it():
    far = wall_curve(free_pair("Ag", "Ag", 2.58), morse(), np.array([1.9, 2.1, 2.3, 2.58, 2.8, 4.0]))
    result = measure_repulsion(morse(), SILVER, SMOKE, StoredValues("ag", "", walls={"dimer_AgAg": far}))
    every = Repulsion().curves({"model": json.loads(json.dumps(asdict(result)))})
    reference = next(curve for curve in every if curve.is_reference)
    np.testing.assert_allclose(reference.y, np.array(far.energy_eV) + 2.0, atol=1e-9)


def test_forces_that_no_energy_has_are_caught_at_their_size():
    leaky = Altered(
        EMT(), force_change=lambda forces: forces + np.linspace(-0.05, 0.05, len(forces))[:, None] * [0, 0, 1]
    )
    faults = measure_repulsion(leaky, SILVER, SMOKE)
    assert wall(faults, "dimer_AgAg").wall.max_force_energy_mismatch_eV_A == pytest.approx(0.05, rel=0.02)
    honest = measure_repulsion(EMT(), SILVER, SMOKE)
    assert all(item.wall.max_force_energy_mismatch_eV_A < 1e-5 for item in honest.walls)


@pytest.mark.parametrize("name", MATERIALS)
def test_the_force_of_every_scan_is_minus_the_slope_of_its_energy(name):
    model = morse(minimum=1.6, cutoff=5.0)
    for scan in wall_scans(MATERIALS[name], 2):
        at = 0.9 * scan.usual_distance
        assert scan.force(model, at) == pytest.approx(-energy_slope(partial(scan.energy, model), at), rel=1e-4), (
            scan.name
        )


@pytest.mark.parametrize("name", MATERIALS)
def test_scans_reproduce_the_distance_they_are_asked_for(name):
    for scan in wall_scans(MATERIALS[name], 2):
        atoms = scan.at(0.8 * scan.usual_distance)
        ends = (0, 1) if isinstance(scan, CompressedCrystal) else (scan.first[0], scan.second[0])
        if not isinstance(scan, CompressedCrystal):
            assert sorted(scan.first + scan.second)[-1] < len(atoms)
            assert not set(scan.first) & set(scan.second)
        assert atoms.get_distance(*ends, mic=True) == pytest.approx(0.8 * scan.usual_distance)


def test_stored_curves_serve_as_reference_and_missing_ones_are_nan_with_a_note():
    dimer = free_pair("Ag", "Ag", 2.58)
    curve = wall_curve(dimer, morse(), np.array([1.9, 2.1, 2.3, 2.5, 2.8]))
    result = measure_repulsion(Altered(morse(), 0.7), SILVER, FULL, StoredValues("ag", "", walls={"dimer_AgAg": curve}))
    assert wall(result, "dimer_AgAg").wall.softening_slope == pytest.approx(0.7)
    assert result.softening_slope == pytest.approx(0.7)
    assert np.isnan(wall(result, "crystal").wall.softening_slope)
    assert "crystal: no reference curve, so nothing is compared" in result.notes
    assert "dimer_AgAg: the reference curve does not reach the level at_10eV" in result.notes


def test_a_wall_so_soft_that_a_level_is_never_reached_is_nan_and_said():
    result = measure_repulsion(Altered(morse(), 0.05), SILVER, SMOKE, morse())
    dimer = wall(result, "dimer_AgAg")
    assert np.isnan(dimer.wall_distance_error_A["at_5eV"])
    assert any("the model does not reach the level at_5eV down to 1.548 Å" in note for note in dimer.notes)


def test_training_range_is_reported_apart():
    reference = morse()

    def softer(r):
        return np.where(r < 2.0, 0.6, 1.0)

    model = PairPotential(reference.energy_of, lambda r: softer(r) * reference.slope_of(r), 6.0)
    dimer = wall(measure_repulsion(model, SILVER, SMOKE, reference, {"AgAg": 2.0}), "dimer_AgAg")
    assert dimer.in_training_range.softening_slope == pytest.approx(1.0)
    assert dimer.out_of_training_range.softening_slope == pytest.approx(0.6)
    assert 0.6 < dimer.wall.softening_slope < 1.0
    assert dimer.in_training_range.points + dimer.out_of_training_range.points == dimer.wall.points
    assert dimer.level_in_training_range == {"at_1eV": True, "at_5eV": False, "at_10eV": False}


def test_without_stress_only_the_compressed_crystal_is_without_force():
    result = measure_repulsion(WithoutStress(EMT()), SILVER, SMOKE, EMT())
    assert np.isnan(wall(result, "crystal").wall.softening_slope)
    assert wall(result, "pair_in_crystal").wall.softening_slope == pytest.approx(1.0)
    assert any("gives no stress" in note for note in result.notes)
    assert np.isfinite(wall(result, "crystal").wall_distance_A["at_1eV"])


def _labelled_frames(count=4):
    frames = []
    for seed in range(count):
        atoms = bulk("Ag", cubic=True).repeat(2)
        atoms.rattle(0.15, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, forces=EMT().get_forces(atoms))
        frames.append(atoms)
    return frames


def test_only_the_softened_top_decile_moves_its_slope():
    frames = _labelled_frames()
    size = np.sort(np.linalg.norm(np.concatenate([atoms.get_forces() for atoms in frames]), axis=1))
    border = size[-round(0.1 * len(size))] - 1e-9

    def soften(forces):
        large = np.linalg.norm(forces, axis=1) >= border
        return np.where(large[:, None], 0.8 * forces, forces)

    result = softening_of_top_forces(Altered(EMT(), force_change=soften), frames)
    assert result.softening_slope == pytest.approx(0.8, abs=1e-9)
    assert 0.8 < result.softening_slope_all < 1.0
    assert result.atoms == 13
    assert result.smallest_top_force_eV_A == pytest.approx(border, abs=1e-6)


def test_atoms_without_a_reference_force_are_left_out():
    frames, fewer = _labelled_frames(2), _labelled_frames(2)
    for atoms in fewer:
        atoms.calc.results["forces"][:8] = np.nan
    known = np.concatenate([np.linalg.norm(atoms.get_forces()[8:], axis=1) for atoms in frames])
    result = softening_of_top_forces(EMT(), fewer)
    assert result.softening_slope_all == pytest.approx(1.0)
    assert result.atoms == round(0.1 * len(known))
    assert result.smallest_top_force_eV_A == pytest.approx(np.sort(known)[-result.atoms])


def test_frames_without_reference_forces_are_refused():
    frames = _labelled_frames(2)
    frames[1].calc = None
    with pytest.raises(ArtifactError, match="frame 1 of 2 has no labelled forces"):
        softening_of_top_forces(EMT(), frames)


def test_two_atoms_that_meet_in_a_crystal_do_not_make_it_a_dense_one():
    warm = SILVER.conventional_cell(SILVER.lattice_constant_A).repeat(2)
    warm.positions[0] += 0.3 * (warm.positions[1] - warm.positions[0])
    dense = SILVER.conventional_cell(0.97 * SILVER.lattice_constant_A)
    free = free_pair("Ag", "Ag", 2.5).atoms
    free.pbc = False  # it fills no space
    free.cell = None
    near, further = training_reach([warm], SILVER), training_reach([warm, dense, free], SILVER)
    assert near["AgAg"] == pytest.approx(0.7 * SILVER.nearest_neighbour, rel=1e-3)
    assert near["crystal"] == pytest.approx(SILVER.nearest_neighbour)
    assert further["crystal"] == pytest.approx(0.97 * SILVER.nearest_neighbour)
    walls = {item.name: item for item in measure_repulsion(EMT(), SILVER, SMOKE, EMT(), near).walls}
    assert walls["crystal"].in_training_range.points == 0
    assert walls["pair_in_crystal"].in_training_range.points > 0


def test_shortest_distances_are_found_by_pair():
    atoms = bulk("LiF", "rocksalt", a=4.0, cubic=True)
    shortest = shortest_distances([atoms])
    assert shortest == {"LiF": pytest.approx(2.0), "LiLi": pytest.approx(8**0.5), "FF": pytest.approx(8**0.5)}


def test_results_are_json():
    result = measure_repulsion(EMT(), SILVER, replace(SMOKE, points=10), EMT())
    assert json.loads(json.dumps(asdict(result)))["material"] == "ag"
    assert json.loads(json.dumps(asdict(SMOKE)))["points"] == 26


def test_scans_start_where_the_settings_say():
    scan = free_pair("Ag", "Ag", 2.5)
    distances = scan_distances(scan, SMOKE)
    assert (distances[0], distances[-1]) == pytest.approx((1.5, 2.75))
