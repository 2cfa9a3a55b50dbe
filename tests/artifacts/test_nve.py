"""Energy conservation, measured on surfaces that conserve it and on one that leaks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.io import read

from scalarpath.artifacts.measure import Measurement
from scalarpath.artifacts.measures.drift import energy_slope, step_dependence
from scalarpath.artifacts.measures.nve import EnergyConservation, NveResult, measure_nve
from scalarpath.artifacts.oracles import oracle
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.core.errors import ConfigError

SMOKE, FULL = (measure_settings(preset(size))["nve"] for size in ("smoke", "full"))
SHORT = replace(
    FULL,
    temperatures_K=(300.0,),
    time_steps_fs=(0.5, 1.0, 1.5, 2.0),
    durations_ps=(0.6, 1.2, 0.6, 0.6),
    seeds=(0, 1),
    thermostat_ps=0.2,
    block_ps=0.12,
    bootstrap_samples=200,
)
CRYSTAL = bulk("Si", "diamond", a=5.431, cubic=True)


class HarmonicCrystal:
    """Springs between an atom and its site: exactly harmonic, one frequency (15 THz for Si)."""

    stiffness = 24.0  # eV/Å^2

    def evaluate(self, structures: list[Atoms]):
        moved = [atoms.positions - CRYSTAL.positions for atoms in structures]
        return [0.5 * self.stiffness * float((x**2).sum()) for x in moved], [-self.stiffness * x for x in moved]


class Leaky(HarmonicCrystal):
    """Adds a force along the velocity, leak m v, found from the last two positions: heats at the rate 2 leak E_kin."""

    def __init__(self, leak_per_ps: float, time_step_fs: float):
        self.leak, self.h, self.last = leak_per_ps / (1e3 * units.fs), time_step_fs * units.fs, {}

    def evaluate(self, structures):
        energies, forces = super().evaluate(structures)
        for k, atoms in enumerate(structures):
            if k in self.last:
                forces[k] = (
                    forces[k] + self.leak * atoms.get_masses()[:, None] * (atoms.positions - self.last[k]) / self.h
                )
            self.last[k] = atoms.get_positions()
        return energies, forces


@pytest.fixture(scope="module")
def harmonic() -> NveResult:
    return measure_nve(HarmonicCrystal(), CRYSTAL, SHORT)


def test_a_smooth_conservative_surface_does_not_drift(harmonic):
    for line in harmonic.lines:
        assert line.drift_low_meV_atom_ps < 0 < line.drift_high_meV_atom_ps
        assert abs(line.drift_meV_atom_ps) < 0.5 * line.fluctuation_meV_atom
    assert harmonic.failed_runs == 0
    assert harmonic.runs == 8
    assert harmonic.failures == harmonic.notes == []


def test_its_energy_fluctuates_as_the_square_of_the_time_step_and_by_the_textbook_amount(harmonic):
    """Velocity Verlet keeps p^2/2m + k x^2 (1 - (omega h)^2/4)/2: E varies by k x^2 (omega h)^2/8 along the orbit."""
    [scaling] = harmonic.scalings
    assert scaling.fluctuation_exponent == pytest.approx(2.0, abs=0.05)
    assert scaling.residual_meV_atom < 0.05 * harmonic.lines[0].fluctuation_meV_atom
    by_step = {line.time_step_fs: line.fluctuation_meV_atom for line in harmonic.lines}
    assert scaling.quadratic_coefficient_meV_atom_fs2 == pytest.approx(by_step[1.0], rel=0.1)
    omega = np.sqrt(HarmonicCrystal.stiffness / 28.085) * units.fs  # 1/fs
    # potential energy per atom swings by about 3/2 kT (N equal oscillators of random phase: over sqrt(6 N) or so)
    assert by_step[2.0] < 1e3 * 1.5 * units.kB * 300 * (2.0 * omega) ** 2 / 4
    assert by_step[2.0] > 1e3 * 1.5 * units.kB * 300 * (2.0 * omega) ** 2 / 4 / 20


def test_the_temperature_is_that_of_the_relative_motion_after_the_thermostat(harmonic):
    assert {line.temperature_K for line in harmonic.lines} == {300.0}
    temperatures = [line.mean_temperature_K for line in harmonic.lines]
    assert np.ptp(temperatures) < 0.02 * np.mean(temperatures)  # all time steps share their initial states
    assert 150 < np.mean(temperatures) < 450


@pytest.mark.parametrize("leak_per_ps", [0.2, -0.2])
def test_a_leaky_surface_is_caught_with_the_sign_and_size_of_its_leak(leak_per_ps):
    settings = replace(SHORT, time_steps_fs=(1.0,), durations_ps=(1.2,), seeds=(0,), sample_interval_fs=1.0)
    tight = measure_nve(HarmonicCrystal(), CRYSTAL, settings)
    leaky = measure_nve(Leaky(leak_per_ps, 1.0), CRYSTAL, settings)
    [line] = leaky.lines
    # half of the energy is kinetic on average, so E grows as exp(leak t); the slope of that line over 1.2 ps
    kinetic = 1e3 * 1.5 * units.kB * line.mean_temperature_K * (1 - 1 / len(CRYSTAL))
    assert line.drift_meV_atom_ps == pytest.approx(2 * leak_per_ps * kinetic, rel=0.15)
    assert line.drift_low_meV_atom_ps < line.drift_meV_atom_ps < line.drift_high_meV_atom_ps
    assert line.drift_low_meV_atom_ps * line.drift_high_meV_atom_ps > 0
    assert abs(tight.lines[0].drift_meV_atom_ps) < 0.02 * abs(line.drift_meV_atom_ps)


def test_a_surface_with_rounding_noise_has_a_residual_that_small_steps_do_not_remove():
    class Rounded(HarmonicCrystal):
        noise = np.random.default_rng(0)

        def evaluate(self, structures):
            energies, forces = super().evaluate(structures)
            return [energy + 8e-3 * self.noise.normal() for energy in energies], forces

    [scaling] = measure_nve(Rounded(), CRYSTAL, SHORT).scalings
    assert scaling.residual_meV_atom == pytest.approx(1.0, rel=0.15)  # 8 meV over 8 atoms
    assert scaling.fluctuation_exponent < 1.0


def test_an_exploding_surface_is_counted_and_averaged_with_nothing():
    class Explodes(HarmonicCrystal):
        """After the thermostat, beyond 0.085 Å, where not all seeds bring an atom, the springs push outwards."""

        calls = 0

        def evaluate(self, structures):
            energies, forces = super().evaluate(structures)
            self.calls += 1
            for k, atoms in enumerate(structures):
                if self.calls > 202 and np.abs(atoms.positions - CRYSTAL.positions).max() > 0.085:
                    forces[k] = -50 * forces[k]
            return energies, forces

    settings = replace(SHORT, time_steps_fs=(1.0, 2.0), durations_ps=(0.6, 0.6), seeds=(0, 1, 2, 3))
    result = measure_nve(Explodes(), CRYSTAL, settings)
    assert 0 < result.failed_runs < result.runs == 8
    assert {failure.kind for failure in result.failures} <= {"exploded", "evaporated"}
    assert all(failure.stage == "nve" and failure.time_fs > 0 for failure in result.failures)
    assert f"{result.failed_runs} of 8 runs failed" in result.notes[0]
    for line in result.lines:
        assert sorted(line.seeds + line.failed_seeds) == [0, 1, 2, 3]
        assert len(line.drift_by_seed_meV_atom_ps) == len(line.seeds)
        assert np.isfinite(line.drift_meV_atom_ps)
        assert abs(line.drift_meV_atom_ps) < 1.0  # nothing of the explosion


def test_a_surface_on_which_nothing_lasts_has_no_drift_at_all():
    class Hopeless(HarmonicCrystal):
        stiffness = -2000.0

    result = measure_nve(Hopeless(), CRYSTAL, replace(SHORT, time_steps_fs=(1.0,), durations_ps=(1.2,)))
    assert result.failed_runs == result.runs == 2
    assert {failure.stage for failure in result.failures} == {"thermostat"}
    [line] = result.lines
    assert np.isnan([line.drift_meV_atom_ps, line.drift_low_meV_atom_ps, line.fluctuation_meV_atom]).all()
    assert np.isnan(result.scalings[0].fluctuation_exponent)
    assert any("nothing could be measured" in note for note in result.notes)
    json.dumps(asdict(result))


def test_stillinger_weber_silicon_conserves_energy_at_the_smoke_preset(tmp_path):
    calls = []
    result = measure_nve(
        oracle("si_sw")(), CRYSTAL, SMOKE, progress=lambda *done: calls.append(done), trajectories=tmp_path
    )
    assert result.failed_runs == 0
    assert result.scalings[0].fluctuation_exponent == pytest.approx(2.0, abs=0.1)
    assert result.lines[0].minimum_distance_A > 2.0
    assert len(result.lines[0].time_ps) == len(result.lines[0].energy_change_meV_atom) > 50
    assert calls[-1] == (180, 180)
    assert {path.name for path in tmp_path.iterdir()} == {"nve_300K_1fs_seed0.extxyz", "nve_300K_2fs_seed0.extxyz"}
    starts = [read(path, 0) for path in tmp_path.iterdir()]
    np.testing.assert_array_equal(starts[0].positions, starts[1].positions)  # shared by the time steps
    np.testing.assert_allclose(starts[0].get_momenta().sum(axis=0), 0, atol=1e-6)
    json.dumps(asdict(result))


def test_rows_of_other_time_steps_and_precisions_have_other_names(harmonic):
    names = [row.quantity for row in EnergyConservation().rows(Measurement({"float64": harmonic}, {}), None)]
    assert len(names) == len(set(names)) > 2


def test_the_slope_of_several_seeds_is_that_within_them_whatever_their_offsets():
    time = np.linspace(0, 1, 50)
    rows = [np.column_stack([np.full(50, seed), time, 7.0 * time + 100 * seed]) for seed in range(3)]
    assert energy_slope(np.concatenate([rows[0], rows[1][:10], rows[2][30:]])) == pytest.approx(7.0)


def test_exponent_residual_and_coefficient_are_those_of_a_made_up_law():
    step = np.array([0.5, 1.0, 1.5, 2.0])
    assert step_dependence(step, 3.0 * step**2) == pytest.approx((2.0, 0.0, 3.0), abs=1e-6)
    exponent, residual, coefficient = step_dependence(step, np.sqrt(0.4**2 + (0.3 * step**2) ** 2))
    assert (residual, coefficient) == pytest.approx((0.4, 0.3))
    assert 0 < exponent < 1.5
    assert np.isnan(step_dependence(step, np.array([np.nan, 1.0, np.nan, np.nan]))).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"durations_ps": (1.0,)}, "4 time steps but 1 durations"),
        ({"sample_interval_fs": 4.0}, "no multiple of the time step 1.5"),
        ({"block_ps": 0.5}, "block_ps = 0.5"),
        ({"block_ps": 0.001}, "block_ps = 0.001"),
        ({"seeds": ()}, "seeds is empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(SHORT, **change)
