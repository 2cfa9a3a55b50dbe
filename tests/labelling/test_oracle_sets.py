"""The oracle-labelled sets are what their recipe makes, label by label, and reach up the wall."""

from itertools import islice

import numpy as np
import pytest
from ase.io import read
from ase.neighborlist import neighbor_list

from scalarpath.artifacts.oracles import oracle
from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.labelling import oracle_sets
from scalarpath.labelling.__main__ import main
from scalarpath.labelling.oracle_sets import ORACLE_SETS, drawn_frames, trajectory_frames, write_oracle_set

names = pytest.mark.parametrize("name", ORACLE_SETS)


@pytest.fixture(scope="module")
def bundled():
    stored = {}

    def bundled(name):
        if name not in stored:
            stored[name] = read(BUNDLED_DIR / name / "frames.extxyz", ":")
        return stored[name]

    return bundled


def of_kind(frames, kind):
    return [frame for frame in frames if frame.info["config_type"] == kind]


@names
def test_labelling_the_file_again_gives_its_labels(bundled, name):
    calculator = oracle(name)()
    for frame in bundled(name)[::20]:
        again = frame.copy()
        again.calc = calculator
        assert frame.get_potential_energy() == pytest.approx(again.get_potential_energy(), rel=1e-13)
        np.testing.assert_allclose(frame.get_forces(), again.get_forces(), rtol=0, atol=6e-9)  # the file's 8 decimals
        np.testing.assert_allclose(frame.get_stress(), again.get_stress(), rtol=0, atol=1e-13)


@names
def test_the_recipe_draws_the_structures_of_the_file(bundled, name):
    for drawn, frame in zip(drawn_frames(ORACLE_SETS[name]), bundled(name), strict=False):
        np.testing.assert_array_equal(drawn.numbers, frame.numbers)
        np.testing.assert_allclose(drawn.positions, frame.positions, rtol=0, atol=1e-8)
        np.testing.assert_allclose(drawn.cell.array, frame.cell.array, rtol=0, atol=1e-10)
        assert drawn.info == {key: frame.info[key] for key in ("config_type", "trajectory")}


def test_the_recipe_runs_the_trajectories_of_the_file(bundled):
    system = ORACLE_SETS["ag_eam"]
    start = next(k for k, frame in enumerate(bundled(system.name)) if "time_fs" in frame.info)
    for frame, again in zip(bundled(system.name)[start:], islice(trajectory_frames(system), 2), strict=False):
        # rounding grows along a trajectory: by far less than this on 1 ps of a crystal
        np.testing.assert_allclose(again.positions, frame.positions, rtol=0, atol=1e-6)
        assert again.info == {key: frame.info[key] for key in again.info}


@names
def test_trajectories_lie_together_in_the_order_of_time_and_no_other_frames_share_one(bundled, name):
    runs = {}
    for number, frame in enumerate(bundled(name)):
        runs.setdefault(frame.info["trajectory"], []).append((number, frame.info.get("time_fs")))
    lengths = set()
    for members in runs.values():
        numbers, times = zip(*members, strict=True)
        lengths.add(len(numbers))
        assert list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))
        if len(numbers) > 1:
            assert list(times) == [150.0 * (k + 1) for k in range(len(times))]
    assert lengths == {1, 8}


@names
def test_the_wall_is_climbed_in_a_small_share_of_the_frames(bundled, name):
    frames, calculator = bundled(name), oracle(name)()
    system = ORACLE_SETS[name]
    perfect = system.cell(1.0, (1, 1, 1))
    ground = calculator.get_potential_energy(perfect) / len(perfect)
    pairs, crystals = of_kind(frames, "wall_pair"), of_kind(frames, "wall_crystal")
    assert (len(pairs) + len(crystals)) / len(frames) < 0.07
    heights = np.array([frame.get_potential_energy() / len(frame) - ground for frame in crystals])
    assert heights.min() == pytest.approx(1.0, abs=0.2)
    assert heights.max() == pytest.approx(5.0, abs=0.5)
    rises = np.array([frame.get_potential_energy() - ground * len(frame) for frame in pairs])
    assert rises.max() > 10
    nearest = [min(neighbor_list("d", frame, 3.0)) for frame in pairs]
    assert min(nearest) < 0.7 * min(neighbor_list("d", perfect, 3.0))
    assert max(np.abs(frame.get_forces()).max() for frame in frames) < 50


@names
def test_liquids_flow_and_crystals_do_not(bundled, name):
    system = ORACLE_SETS[name]
    for temperature, state in [
        (system.crystal_temperatures[0], "crystal"),
        (min(system.liquid_temperatures), "liquid"),
    ]:
        frame = of_kind(bundled(name), f"{state}{temperature}")[-1]
        # all sites of the three lattices are multiples of a quarter of the lattice constant from each other
        quarters = frame.get_scaled_positions() * system.large * 4
        order = np.abs(np.exp(2j * np.pi * quarters).mean(axis=0)).mean()
        assert (order > 0.5) == (state == "crystal"), order


def test_the_command_writes_the_file_and_unknown_systems_are_named(monkeypatch, tmp_path, bundled, capsys):
    monkeypatch.setattr(oracle_sets, "trajectory_frames", lambda system: iter(()))
    assert main(["oracle", "--system", "ag_eam", "--out", str(tmp_path / "new")]) == 0
    path = tmp_path / "new" / "frames.extxyz"
    assert capsys.readouterr().out.strip() == str(path)
    written = read(path, ":")
    for frame, stored in zip(written, bundled("ag_eam"), strict=False):
        assert frame.info == stored.info
        np.testing.assert_allclose(frame.get_forces(), stored.get_forces(), rtol=0, atol=1e-7)
    with pytest.raises(ConfigError, match="ag_emt"):
        write_oracle_set("ag_emt", tmp_path)
