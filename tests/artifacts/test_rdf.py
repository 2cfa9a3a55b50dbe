"""Liquid structure, measured where it is known: ideal gas, crystals, and liquids of softer and harder atoms."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry.rdf import get_rdf

from scalarpath.artifacts.dynamics import Trajectory
from scalarpath.artifacts.measures.pair_distribution import (
    count_pairs,
    difference_measures,
    ideal_counts,
    pair_labels,
    structure_measures,
)
from scalarpath.artifacts.measures.rdf import measure_rdf, square_displacement
from scalarpath.artifacts.measures.rdf_comparison import RdfResult, compare_rdf
from scalarpath.artifacts.oracles import Oracle, switch
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.core.errors import ArtifactError, ConfigError

EDGES = 0.05 * np.arange(101)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
EXACT = np.zeros(100)  # resolved_g of noiseless distributions
LIQUID = replace(
    measure_settings(preset("full"))["rdf"],
    temperature_K=300.0,
    melt_factor=3.0,
    melt_ps=1.0,
    equilibrate_ps=0.5,
    duration_ps=5.0,
    time_step_fs=5.0,
    seeds=(0,),
    snapshot_interval_fs=50.0,
    bin_A=0.05,
    r_max_A=5.0,
    block_ps=0.5,
    bootstrap_samples=200,
)
ARGON_LIKE = bulk("Ar", "fcc", a=5.6, cubic=True).repeat(2)  # at the density of the liquid


class LennardJones(Oracle):
    """120 K deep; sigma in Å."""

    elements = ("Ar",)
    cutoff = 6.5

    def __init__(self, sigma: float = 3.4, explode: bool = False):
        super().__init__()
        self.sigma, self.explode = sigma, explode

    def pair_gradients(self, pairs, types):
        r = pairs.distance
        six = (self.sigma / r) ** 6
        s, s_slope = switch(r, 5.5, self.cutoff)
        value, slope = 0.0414 * (six**2 - six), 0.0414 * (6 * six - 12 * six**2) / r
        slope = (slope * s + value * s_slope) * (-30 if self.explode else 1)
        return np.bincount(pairs.i, value * s, len(types)), (slope / r)[:, None] * pairs.vector


@pytest.fixture(scope="module")
def reference() -> RdfResult:
    return measure_rdf(LennardJones(), ARGON_LIKE, LIQUID)


def gas(numbers: list[int], frames: int, seed: int = 0) -> np.ndarray:
    """g(r) of atoms thrown at random into a skewed cell, [labels, bins]."""
    cell = [[11, 0, 0], [2, 11, 0], [1, 2, 12]]
    rng, counts = np.random.default_rng(seed), 0
    for _ in range(frames):
        atoms = Atoms(numbers, cell=cell, pbc=True, scaled_positions=rng.random((len(numbers), 3)))
        counts = counts + count_pairs(atoms, EDGES)
    return counts / frames / ideal_counts(atoms, EDGES)


def test_an_ideal_gas_has_g_one_for_every_pair_of_elements():
    g = gas([3] * 20 + [9] * 30, frames=400)
    assert g.shape == (4, 100)
    np.testing.assert_allclose(g[:, 40:].mean(axis=1), 1.0, atol=0.01)
    np.testing.assert_allclose(g[:, 40:].reshape(4, -1, 10).mean(axis=2), 1.0, atol=0.06)


def test_an_ideal_gas_of_two_atoms_has_g_one_too():
    assert gas([3, 3], frames=5000)[0, 40:].mean() == pytest.approx(1.0, abs=0.04)


def test_labels_are_ordered_by_atomic_number_and_a_pure_substance_has_the_total_alone():
    assert pair_labels(Atoms("FLiF")) == ["total", "Li-Li", "Li-F", "F-F"]
    assert pair_labels(Atoms("Ag2")) == ["total"]


def test_a_crystal_has_its_shells_with_their_coordination_numbers_at_their_distances():
    atoms = bulk("LiF", "rocksalt", a=4.0, cubic=True).repeat(3)
    edges = 0.05 * np.arange(100) + 0.0
    counts = dict(zip(pair_labels(atoms), count_pairs(atoms, edges), strict=True))
    where = lambda label: {int(k): int(counts[label][k]) for k in np.flatnonzero(counts[label])}  # noqa: E731
    n = len(atoms) // 2
    shell = lambda r: int(r / 0.05 + 1e-6)  # noqa: E731
    assert where("Li-F") == {shell(2.0): 6 * n, shell(12**0.5): 8 * n, shell(20**0.5): 24 * n}
    assert where("Li-Li") == where("F-F") == {shell(8**0.5): 6 * n, shell(4.0): 3 * n, shell(24**0.5): 12 * n}
    assert sum(where("total").values()) == sum(sum(where(label).values()) for label in ("Li-Li", "Li-F", "F-F"))


def test_g_is_that_of_ase():
    atoms = bulk("Ag", a=4.1, cubic=True).repeat(3)
    atoms.rattle(0.3, seed=0)
    theirs, r = get_rdf(atoms, 5.0, 100)
    ours = count_pairs(atoms, EDGES)[0] / ideal_counts(atoms, EDGES)[0]
    np.testing.assert_allclose(r, CENTRES)
    pairs = len(atoms) / (len(atoms) - 1)  # ASE normalises by N^2, so that its ideal gas has 1 - 1/N
    np.testing.assert_allclose(ours, theirs * pairs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("atoms", "distance"), [("Ag", 4.1 / 2**0.5), ("Si", 5.431 * 3**0.5 / 4), ("LiF", 2.0)])
def test_the_first_peak_of_a_warm_crystal_is_its_neighbour_distance(atoms, distance):
    structure, a = {"Ag": ("fcc", 4.1), "Si": ("diamond", 5.431), "LiF": ("rocksalt", 4.0)}[atoms]
    crystal = bulk(atoms, structure, a=a, cubic=True).repeat(3)
    counts = 0
    for seed in range(10):
        warm = crystal.copy()
        warm.rattle(0.06, seed=seed)
        counts = counts + count_pairs(warm, EDGES)[0]
    measures = structure_measures(CENTRES, counts / 10 / ideal_counts(crystal, EDGES)[0], EXACT)
    assert measures["first_peak_A"] == pytest.approx(distance, abs=0.015)
    assert measures["onset_A_at_0.1"] < distance - 0.1


def test_onsets_and_peak_of_a_known_curve_are_read_between_the_bins():
    g = np.where(CENTRES > 2.0, 0.5 * (CENTRES - 2.0), 0.0)  # straight from 2.0 on
    measures = structure_measures(CENTRES, g, EXACT)
    for level in (0.05, 0.1):
        assert measures[f"onset_A_at_{level}"] == pytest.approx(2.0 + 2 * level, abs=1e-9)
    assert measures["onset_A_at_0.01"] == pytest.approx(2.0, abs=0.025)
    parabola = np.maximum(3.0 - 20 * (CENTRES - 2.783) ** 2, 0.0)
    measures = structure_measures(CENTRES, parabola, EXACT)
    assert measures["first_peak_A"] == pytest.approx(2.783)
    assert measures["first_peak_height"] == pytest.approx(3.0)


def test_what_the_statistics_cannot_tell_from_zero_or_the_range_does_not_show_is_nan():
    g = np.where(CENTRES > 2.0, 0.5 * (CENTRES - 2.0), 0.0)
    measures = structure_measures(CENTRES, g, np.full(100, 0.03))
    assert np.isnan(measures["onset_A_at_0.01"])
    assert np.isfinite(measures["onset_A_at_0.05"])
    assert np.isnan(measures["first_peak_A"])  # still rising at the end
    assert np.isnan(list(structure_measures(CENTRES, np.eye(100)[0], EXACT).values())).all()  # all in the first bin
    assert np.isnan(list(structure_measures(CENTRES, np.zeros(100), EXACT).values())).all()


def test_distances_between_distributions_are_those_of_a_shift():
    shape = lambda centre: np.exp(-((CENTRES - centre) ** 2) / 0.02)  # noqa: E731
    measures = difference_measures(CENTRES, shape(2.5), shape(2.3), np.ones(100))
    assert measures["wasserstein_A"] == pytest.approx(0.2, abs=1e-6)
    assert measures["g_mae"] == pytest.approx(np.abs(shape(2.5) - shape(2.3)).mean())
    assert difference_measures(CENTRES, shape(2.5), shape(2.5), np.ones(100)) == {"g_mae": 0.0, "wasserstein_A": 0.0}


def test_the_way_of_the_atoms_leaves_out_that_of_the_whole():
    atoms = Atoms("LiF")
    snapshots = np.zeros((3, 2, 3))
    snapshots[1:] += 100.0
    snapshots[2, 0, 0] += 19.0
    heavy, light = atoms.get_masses()[[1, 0]] / atoms.get_masses().sum() * 19.0
    run = Trajectory(np.zeros(0), np.zeros(0), np.zeros(0), snapshots, 1.0, None, atoms)
    assert square_displacement(run) == pytest.approx((heavy**2 + light**2) / 2)


def test_a_melt_is_a_liquid_at_its_temperature_with_a_first_peak_between_contact_and_minimum_of_the_pair(reference):
    assert reference.mean_temperature_K == pytest.approx(300, rel=0.1)
    assert reference.failures == []
    assert reference.diffusion_A2_ps > 0.08
    assert not any("no liquid" in note for note in reference.notes)
    total = reference.pairs["total"]
    assert 3.4 < total.measures["first_peak_A"] < 3.4 * 2 ** (1 / 6)
    low, high = total.intervals["first_peak_A"]
    assert low < total.measures["first_peak_A"] < high < low + 0.2
    assert reference.minimum_distance_A < total.measures["onset_A_at_0.05"]
    assert np.sum(total.block_counts) > 0
    assert len(total.block_counts) == 10
    assert reference.block_frames == 10


def test_softer_atoms_come_too_close_and_harder_ones_stay_too_far(reference):
    for sigma, sign in ((3.2, -1), (3.55, 1)):
        model = measure_rdf(LennardJones(sigma), ARGON_LIKE, LIQUID)
        comparison = compare_rdf(model, reference, 500)
        difference, intervals = comparison.differences["total"], comparison.intervals["total"]
        expected = sigma - 3.4  # a wall moves with its sigma
        for name in ("onset_shift_A_at_0.05", "onset_shift_A_at_0.1"):
            assert difference[name] == pytest.approx(expected, abs=0.09), name
            assert sign * intervals[name][0] > 0, name
            assert sign * intervals[name][1] > 0, name
        assert sign * difference["first_peak_shift_A"] > 0
        assert sign * comparison.minimum_distance_change_A > 0
        assert difference["g_mae"] > 2 * comparison.floors["total"]["g_mae"]
        assert difference["wasserstein_A"] > 0


def test_the_same_liquid_from_another_seed_differs_by_no_more_than_the_floor_and_the_intervals_hold_zero(reference):
    other = measure_rdf(LennardJones(), ARGON_LIKE, replace(LIQUID, seeds=(5,)))
    comparison = compare_rdf(other, reference, 500)
    for name in ("onset_shift_A_at_0.1", "first_peak_shift_A", "first_peak_height_change"):
        low, high = comparison.intervals["total"][name]
        assert low < 0 < high, name
    for name in ("g_mae", "wasserstein_A"):
        assert comparison.differences["total"][name] < 2 * comparison.floors["total"][name], name
        assert 0 <= comparison.intervals["total"][name][0] < comparison.differences["total"][name]


def test_a_crystal_that_does_not_melt_is_not_passed_off_as_a_liquid():
    settings = replace(LIQUID, temperature_K=5.0, melt_ps=0.0, equilibrate_ps=0.2, duration_ps=1.0)
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(2)
    result = measure_rdf(LennardJones(), crystal, settings)
    assert any("this may be no liquid" in note for note in result.notes)


def test_a_sample_that_has_not_reached_its_temperature_says_so(reference):
    assert not any("equilibrate for longer" in note for note in reference.notes)
    settings = replace(LIQUID, melt_ps=0.3, equilibrate_ps=0.0, duration_ps=1.0, friction_per_ps=0.1)
    result = measure_rdf(LennardJones(), ARGON_LIKE, settings)
    assert result.mean_temperature_K > 350
    assert any("not 300 K; equilibrate for longer" in note for note in result.notes)


def test_a_liquid_that_flies_apart_is_a_failure_without_numbers(reference):
    result = measure_rdf(LennardJones(explode=True), ARGON_LIKE, replace(LIQUID, seeds=(0, 1)))
    assert result.failure_fraction == 1.0
    assert [failure.seed for failure in result.failures] == [0, 1]
    assert {failure.stage for failure in result.failures} == {"melt"}
    assert result.pairs == {}
    assert np.isnan([result.mean_temperature_K, result.diffusion_A2_ps, result.minimum_distance_A]).all()
    comparison = compare_rdf(result, reference, 500)
    assert comparison.differences == {}
    assert np.isnan(comparison.minimum_distance_change_A)
    assert any("No liquid to compare" in note for note in comparison.notes)


def test_a_liquid_does_not_differ_from_itself_and_its_result_is_json(reference):
    json.dumps(asdict(reference))
    comparison = compare_rdf(reference, reference, 500)
    assert comparison.differences["total"]["g_mae"] == 0.0
    assert comparison.intervals["total"]["g_mae"] == [0.0, 0.0]  # what noise adds to a distance is taken off


def test_the_sampled_frames_can_be_kept(tmp_path):
    settings = replace(LIQUID, melt_ps=0.0, equilibrate_ps=0.0, duration_ps=0.2, block_ps=0.1, seeds=(0, 1))
    measure_rdf(LennardJones(), ARGON_LIKE, settings, trajectories=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["liquid_seed0.extxyz", "liquid_seed1.extxyz"]


@pytest.mark.parametrize(
    ("atoms", "change", "message"),
    [
        (ARGON_LIKE, {"r_max_A": 5.7}, "more than half the height of the cell, 5.60 Å"),
        (ARGON_LIKE, {"temperature_K": None}, "temperature of this liquid is not known"),
        (Atoms("Ar2", [[0, 0, 0], [0, 0, 4]]), {}, "periodic in all directions"),
    ],
)
def test_what_cannot_be_measured_is_refused(atoms, change, message):
    with pytest.raises(ArtifactError, match=message):
        measure_rdf(LennardJones(), atoms, replace(LIQUID, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_ps": 3.0}, "block_ps = 3.0"),
        ({"block_ps": 0.01}, "block_ps = 0.01"),
        ({"r_max_A": 7.0}, "r_max_A = 7.0 is more than half of min_cell_A = 13.5"),
        ({"bin_A": 6.0}, "bin_A = 6.0 is more than r_max_A"),
        ({"seeds": ()}, "seeds is empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(LIQUID, **change)


@pytest.mark.parametrize("change", [{"temperature_K": 310.0}, {"r_A": [1.0]}, {"atoms": 5}])
def test_liquids_of_another_protocol_are_not_compared(reference, change):
    with pytest.raises(ArtifactError, match=f"differ in {next(iter(change))}"):
        compare_rdf(replace(reference, **change), reference, 500)
