"""The suite: what every measure says of a perfect, a soft and a failing calculator, and how it is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from rich.console import Console

from scalarpath.artifacts.bench import Bench, bench_reference
from scalarpath.artifacts.materials import material
from scalarpath.artifacts.measure import Curve, Measure, Measurement, drawn
from scalarpath.artifacts.oracles import TightBindingSilver
from scalarpath.artifacts.registry import MEASURES, measure_settings, preset
from scalarpath.artifacts.rows import Row
from scalarpath.artifacts.suite import Outcome, run_suite
from scalarpath.core.errors import ArtifactError, ConfigError
from scalarpath.core.settings import Positive
from scalarpath.evaluation.output import flat_summary, plain, results_table

SMOKE = measure_settings(preset("smoke"))
TINY = SMOKE | {
    "repulsion": replace(SMOKE["repulsion"], points=12, consistency_points=2),
    "phonons": replace(SMOKE["phonons"], band_points=11),
    "smoothness": replace(SMOKE["smoothness"], points=41),
    "nve": replace(SMOKE["nve"], durations_ps=(0.08, 0.08), thermostat_ps=0.02),
    "rdf": replace(SMOKE["rdf"], melt_ps=0.05, equilibrate_ps=0.05, duration_ps=0.2, block_ps=0.05),
}


class Scaled(Calculator):
    """The reference's energies, forces and stress times a factor; it gives up on more atoms than it is told."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, factor: float, most_atoms: int = 1000):
        super().__init__()
        self.factor, self.most_atoms, self.inner = factor, most_atoms, TightBindingSilver()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if len(atoms) > self.most_atoms:
            raise MemoryError(f"{len(atoms)} atoms are too many")
        self.inner.calculate(atoms)
        self.results = {key: self.factor * self.inner.results[key] for key in ("energy", "free_energy", "forces")}
        if "stress" in self.inner.results:
            self.results["stress"] = self.factor * self.inner.results["stress"]


def bench(calculator: Calculator, name: str = "ag_eam") -> Bench:
    item, reference, reference_name = bench_reference(name)
    return Bench(item, calculator, {"float64": calculator}, reference, reference_name)


def outcomes(subject: Bench, *measures: str) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in run_suite(subject, TINY, measures or list(MEASURES))}


def rows(outcome: Outcome) -> dict:
    assert not outcome.error, outcome.details
    return {row.key: row for row in outcome.rows}


@pytest.fixture(scope="module")
def perfect() -> dict[str, Outcome]:
    return outcomes(bench(TightBindingSilver()))


def test_the_potential_that_made_the_labels_has_no_errors(perfect: dict[str, Outcome]) -> None:
    assert list(perfect) == list(MEASURES)
    for measure in ("repulsion", "phonons", "elastic"):
        for row in rows(perfect[measure]).values():
            assert row.error == pytest.approx(0.0, abs=1e-5), row
    liquid = rows(perfect["rdf"])
    assert liquid["minimum_distance_A"].error == 0.0
    assert liquid["g_mae_total"].model == 0.0
    assert rows(perfect["nve"])["fluctuation_exponent_300K_float64"].model == pytest.approx(2.0, abs=0.2)
    assert rows(perfect["smoothness"])["max_force_energy_mismatch_eV_A"].model < 1e-6


def test_a_claim_is_about_the_rows_that_it_names_and_about_no_others(perfect: dict[str, Outcome]) -> None:
    counted = {
        name: [row.key for row in outcome.rows if outcome.measure.claim.counts(row)]
        for name, outcome in perfect.items()
        if outcome.measure.claim is not None
    }
    assert counted == {
        "repulsion": ["softening_slope"],
        "phonons": ["X_L_THz", "X_T_THz"],
        "nve": ["drift_meV_atom_ps_300K_float64_1fs", "drift_meV_atom_ps_300K_float64_2fs"],
        "rdf": ["onset_A_at_0.05_total"],
    }


def test_a_soft_potential_is_shown_as_soft_with_the_right_size() -> None:
    found = outcomes(bench(Scaled(0.8)), "repulsion", "phonons", "elastic")
    assert rows(found["repulsion"])["softening_slope"].error == pytest.approx(-0.2)
    wall = next(row for key, row in rows(found["repulsion"]).items() if key.endswith("eV_crystal"))
    assert wall.error < -0.005
    for name in ("dimer_AgAg", "crystal", "pair_in_crystal"):  # each alone: a free pair must not hide the crystal
        assert rows(found["repulsion"])[f"softening_slope_{name}"].error == pytest.approx(-0.2)
    assert rows(found["phonons"])["X_L_THz"].error == pytest.approx(0.8**0.5 - 1)
    assert rows(found["elastic"])["bulk_modulus_GPa"].error == pytest.approx(-0.2)


def curves(outcome: Outcome) -> dict[str, list[Curve]]:
    """The reference and the model of every panel, from what the file of the measure holds."""
    panels: dict[str, list[Curve]] = {}
    for curve in outcome.measure.curves(json.loads(json.dumps(plain(outcome.measurement.results)))):
        panels.setdefault(curve.panel, []).append(curve)
    assert all([curve.is_reference for curve in both] == [True, False] for both in panels.values())
    return panels


def test_the_curves_of_a_report_are_those_of_the_measure_beside_the_reference(perfect: dict[str, Outcome]) -> None:
    found = outcomes(bench(Scaled(0.8)), "repulsion", "phonons")
    walls, bands = curves(found["repulsion"]), curves(found["phonons"])
    assert list(walls) == ["dimer AgAg", "crystal", "pair in crystal"]
    for reference, soft in walls.values():
        shown = np.isfinite(reference.y)
        assert shown.sum() > 3
        assert np.nanmax(reference.y) < 15
        np.testing.assert_allclose(soft.y[shown], 0.8 * reference.y[shown], atol=1e-9)
    reference, soft = bands["phonons"]
    assert set(reference.ticks.values()) >= {"Γ", "L"}
    stiff = np.nan_to_num(reference.y) > 1
    np.testing.assert_allclose(soft.y[stiff], 0.8**0.5 * reference.y[stiff], rtol=1e-6)
    (liquid,) = curves(perfect["rdf"]).values()
    assert liquid[0].y.max() > 1.5
    assert 1.5 < liquid[0].x[0] < 3
    np.testing.assert_array_equal(liquid[0].y, liquid[1].y)


def test_a_measure_that_fails_does_not_lose_the_others() -> None:
    found = outcomes(bench(Scaled(1.0, most_atoms=8)), "repulsion", "elastic", "smoothness", "nve")
    assert {name for name, outcome in found.items() if outcome.error} == {"repulsion", "nve"}
    assert found["nve"].error == "MemoryError: 32 atoms are too many"
    assert "Traceback" in found["nve"].details
    assert flat_summary(list(found.values()))["artifact/failed"] == "repulsion, nve"


def test_dynamics_without_an_reference_calculator_say_so() -> None:
    found = outcomes(bench(TightBindingSilver(), "ag"), "rdf", "nve")
    peak = rows(found["rdf"])["first_peak_A_total"]
    assert np.isnan(peak.reference)
    assert np.isnan(peak.error)
    assert peak.low < peak.model < peak.high
    assert "no reference" in peak.note
    assert "reference" not in found["nve"].measurement.results


def test_what_does_not_exist_for_a_molecule_is_skipped_and_not_failed() -> None:
    found = {o.name: o for o in run_suite(bench(TightBindingSilver(), "ethanol"), TINY, ["elastic", "rdf"])}
    assert [outcome.skipped for outcome in found.values()] == ["ethanol is a molecule"] * 2
    assert flat_summary(list(found.values())) == {}


def test_every_measure_with_curves_has_a_figure(perfect: dict[str, Outcome]) -> None:
    for name, outcome in perfect.items():
        figure = drawn(outcome.measure, outcome.measurement)
        assert (figure is None) == (name == "elastic")
        if figure is not None:
            assert all(axis.lines for axis in figure.axes)
            assert figure.axes[0].get_ylabel()


def test_a_liquid_that_failed_has_rows_and_no_figure(perfect: dict[str, Outcome]) -> None:
    settings = TINY | {"rdf": replace(TINY["rdf"], explosion_factor=0.1)}
    (failed,) = run_suite(bench(TightBindingSilver(), "ag"), settings, ["rdf"])
    assert rows(failed)["failed_liquids"].model == 1.0
    assert drawn(failed.measure, failed.measurement) is None


def test_files_hold_null_for_what_is_not_known_and_summaries_leave_it_out(perfect: dict[str, Outcome]) -> None:
    assert plain({"a": (float("nan"), np.float64(1.5)), "b": np.inf}) == {"a": [None, 1.5], "b": None}
    summary = flat_summary(list(perfect.values()))
    assert all(np.isfinite(value) for value in summary.values())
    assert summary["artifact/repulsion/softening_slope"] == pytest.approx(1.0)
    assert summary["artifact/phonons/X_L_THz_relative_error"] == pytest.approx(0.0, abs=1e-6)


def test_the_table_has_a_line_for_every_row_and_fits_a_narrow_screen_without_notes(
    perfect: dict[str, Outcome],
) -> None:
    table = results_table(list(perfect.values()), "title")
    assert table.row_count == sum(len(outcome.rows) for outcome in perfect.values())
    narrow = results_table(list(perfect.values()), "title", notes=False)
    assert len(narrow.columns) == len(table.columns) - 1
    shown = StringIO()
    Console(width=80, file=shown).print(narrow)
    numbers = [cell for column in list(narrow.columns)[1:] for cell in column.cells]
    assert "…" not in shown.getvalue()  # nothing is cut
    assert all(str(number) in shown.getvalue() for number in numbers)


def test_the_table_says_why_a_measure_has_no_rows_before_and_after_others(perfect: dict[str, Outcome]) -> None:
    first, *others = perfect.values()
    skipped = replace(first, rows=[], skipped="no walls: here")
    for notes in (True, False):
        table = results_table([skipped, *others, skipped], "title", notes=notes)
        names = list(table.columns[0].cells)
        assert names[0] == names[-1] == f"{first.name}: not measured"
        assert ("no walls: here" in list(table.columns[-1].cells)) == notes


def test_supercells_are_as_small_as_their_edge_allows() -> None:
    silver = material("ag")
    assert len(silver.supercell(8.0)) == 32
    assert len(silver.supercell(13.5, silver.liquid.lattice_constant_A)) == 256
    assert len(material("ethanol").supercell(8.0)) == 9


def test_an_unknown_bench_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"material = gold is unknown; use one of: si, .*ag_eam"):
        bench_reference("gold")


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("nve", "sedes", [0], r"settings\.nve has no setting 'sedes'"),
        ("nve", "seeds", [0.5], r"settings\.nve\.seeds must be a whole number"),
        ("nve", "seeds", 3, r"settings\.nve\.seeds must be a list"),
        ("nve", "min_cell_A", 0, r"settings\.nve\.min_cell_A must be greater than 0"),
        ("rdf", "temperature_K", "hot", r"settings\.rdf\.temperature_K must be a number"),
        ("smoothness", "pair_range", [1.0], r"settings\.smoothness\.pair_range must be a list of 2 values"),
        ("smoothness", "pair_range", [2.0, 1.0], r"settings\.smoothness\.pair_range = \[2, 1\] does not rise"),
        ("smoothness", "points", 5, r"settings\.smoothness\.points must be at least 20"),
        ("repulsion", "material", "si", r"settings\.repulsion has no setting 'material'"),
        ("repulsion", "points", 3, r"settings\.repulsion\.points must be at least 10"),
        ("repulsion", "wall_fraction", 0.5, r"settings\.repulsion\.wall_fraction = 0\.5 leaves no wall"),
        ("repulsion", "levels_eV", [], r"settings\.repulsion\.levels_eV is empty"),
        ("repulsion", "bulk_repeat", 1, r"settings\.repulsion\.bulk_repeat must be at least 2"),
        ("phonons", "displacement_A", 0.0, r"settings\.phonons\.displacement_A must be at least 1e-05"),
        ("harmonic", "top_modes", 0, r"settings\.harmonic\.top_modes must be at least 1"),
        ("elastic", "strain", 0.0, r"settings\.elastic\.strain must be at least 1e-05"),
        ("elastic", "cell_relaxation_steps", 10**9, r"cell_relaxation_steps must be at most 100000"),
        ("phonons", "displacement_A", float("nan"), r"settings\.phonons\.displacement_A must be a finite number"),
        ("phonons", "displacement_A", -0.01, r"settings\.phonons\.displacement_A must be at least 1e-05"),
        ("phonons", "relaxation_fmax_eV_A", 0.0, r"settings\.phonons\.relaxation_fmax_eV_A must be greater than 0"),
        ("phonons", "supercell_repeat", 50, r"settings\.phonons\.supercell_repeat must be at most 8"),
        ("repulsion", "lowest_fraction", 1e-9, r"settings\.repulsion\.lowest_fraction must be at least 0\.1"),
        ("repulsion", "levels_eV", [5.0, 5.0], r"settings\.repulsion\.levels_eV lists 5\.0 twice"),
        ("smoothness", "prominence", -1e-5, r"settings\.smoothness\.prominence must be at least 0"),
        ("smoothness", "pair_range", [1e-9, 4.0], r"pair_range begins at 1e-09 usual distances"),
        ("nve", "time_steps_fs", [], r"settings\.nve\.time_steps_fs is empty"),
        ("nve", "time_steps_fs", [0.0, 1.0], r"settings\.nve\.time_steps_fs must be at least 0\.001"),
        ("nve", "seeds", [0, 0], r"settings\.nve\.seeds lists 0 twice"),
        ("nve", "durations_ps", [1e9, 1e9], r"settings\.nve\.durations_ps = 1e\+09 has 1e\+12 steps of 1 fs"),
        ("nve", "bootstrap_samples", 10**12, r"settings\.nve\.bootstrap_samples must be at most 100000"),
        ("nve", "explosion_factor", 0.5, r"settings\.nve\.explosion_factor must be greater than 1"),
        ("rdf", "melt_ps", 1e9, r"settings\.rdf\.melt_ps = 1e\+09 has 5e\+11 steps"),
        ("rdf", "snapshot_interval_fs", 1.0, r"settings\.rdf\.snapshot_interval_fs = 1 is less than time_step_fs = 2"),
        ("rdf", "bin_A", 1e-9, r"settings\.rdf\.bin_A = 1e-09 makes more than 10000 bins"),
    ],
)
def test_an_unknown_or_impossible_setting_is_refused(section: str, key: str, value, message: str) -> None:
    sections = preset("smoke")
    sections[section][key] = value
    with pytest.raises(ConfigError, match=message):
        measure_settings(sections)


@pytest.mark.parametrize("size", ["full", "short", "smoke"])
def test_every_number_of_a_measure_has_an_end(size: str) -> None:
    """A number that is a million times what is stored is refused, or the measure would not end or has no memory."""
    for section, values in preset(size).items():
        for key, value in values.items():
            many = value if isinstance(value, list) else [value]
            if not all(isinstance(item, int | float) for item in many) or key == "seeds":
                continue
            huge = [type(item)(10**13 * (abs(item) + 1)) for item in many]
            sections = preset(size)
            sections[section][key] = huge if isinstance(value, list) else huge[0]
            with pytest.raises(ConfigError, match=rf"settings\.{section}\."):
                measure_settings(sections)


def test_only_the_settings_of_the_chosen_measures_are_needed_and_no_others_are_known() -> None:
    sections = preset("smoke")
    assert list(measure_settings({"elastic": sections["elastic"]}, ["elastic"])) == ["elastic"]
    with pytest.raises(ConfigError, match=r"settings has no setting 'elastc' \(did you mean 'elastic'\?\)"):
        measure_settings(sections | {"elastc": {}}, ["elastic"])
    with pytest.raises(ConfigError, match="settings lacks the group 'harmonic'; choose size="):
        measure_settings({"phonons": sections["phonons"]}, ["phonons"])


@dataclass(frozen=True)
class SiteEnergySettings:
    """Nothing but a factor."""

    factor: Positive


class SiteEnergy(Measure[SiteEnergySettings]):
    """A measure that the package does not know."""

    name = "site_energy"
    settings = SiteEnergySettings

    def measure(self, bench, settings, progress, trajectories) -> Measurement:
        energy = bench.calculator.get_potential_energy(bench.material.primitive_cell())
        return Measurement({"model": settings.factor * energy}, asdict(settings))

    def rows(self, measurement, bench):
        yield Row("site_energy_eV", "site energy", "eV", measurement.results["model"])


def test_a_measure_from_outside_is_chosen_by_where_it_lives() -> None:
    location = "test_suite:SiteEnergy"
    settings = measure_settings({"site_energy": {"factor": 2.0}}, [location])
    (outcome,) = run_suite(bench(TightBindingSilver()), settings, [location])
    assert flat_summary([outcome])["artifact/site_energy/site_energy_eV"] == pytest.approx(-5.9, abs=0.1)
    with pytest.raises(ConfigError, match=r"settings\.site_energy\.factor must be greater than 0"):
        measure_settings({"site_energy": {"factor": 0}}, [location])
    with pytest.raises(ConfigError, match=r"artifact .test_suite:Nothing. cannot be imported"):
        measure_settings({}, ["test_suite:Nothing"])
    with pytest.raises(ConfigError, match=r"artifact .test_suite:Scaled. is not a subclass of"):
        measure_settings({}, ["test_suite:Scaled"])


def test_settings_are_read_without_what_computes_and_draws() -> None:
    code = (
        "import sys; from scalarpath.artifacts.registry import measure_settings, preset"
        "; measure_settings(preset('full'))"
        "; print({'torch', 'phonopy', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="size = huge is unknown; use one of: full, short, smoke"):
        preset("huge")
