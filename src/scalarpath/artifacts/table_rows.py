"""The one-screen table: which numbers of each result are shown, beside the reference's, and under which key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.measures.elastic import ElasticResult
from scalarpath.artifacts.measures.harmonic import HarmonicResult
from scalarpath.artifacts.measures.nve import NveLine, NveResult
from scalarpath.artifacts.measures.pair_distribution import TOTAL
from scalarpath.artifacts.measures.phonons import PhononResult
from scalarpath.artifacts.measures.rdf import RdfResult
from scalarpath.artifacts.measures.rdf_comparison import DISTANCES, RdfComparison
from scalarpath.artifacts.measures.repulsion import RepulsionResult, WallResult
from scalarpath.artifacts.measures.smoothness import SmoothnessResult
from scalarpath.artifacts.measures.softening import TopForceResult
from scalarpath.artifacts.stored_values import Reference, StoredValues

NAN = float("nan")
NO_REFERENCE = "no reference: model only"


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        key: Name with unit, under which summaries hold the model's value (and ``<key>_error``).
        quantity, unit: Shown.
        model, reference: Values, NaN where unknown.
        error: Signed; relative (a fraction) where ``relative``.
        low, high: 95 % interval: of the error, or of the model's value where there is no error.
        note: What to know when reading the line.
    """

    key: str
    quantity: str
    unit: str
    model: float
    reference: float = NAN
    error: float = NAN
    relative: bool = False
    low: float = NAN
    high: float = NAN
    note: str = ""

    def summary(self) -> dict[str, float]:
        """What is known of it, flat."""
        values = {"": self.model, "_relative_error" if self.relative else "_error": self.error}
        return {f"{self.key}{end}": value for end, value in values.items() if np.isfinite(value)}


def rows_of(measure: str, bench: Bench, results: dict[str, Any]) -> list[Row]:
    """Rows of a measure of the suite from its result dataclasses."""
    if measure == "repulsion":
        return list(_repulsion(results["model"], results.get("top_forces")))
    if measure == "phonons":
        molecular = isinstance(results["model"], HarmonicResult)
        return list(_harmonic(results["model"]) if molecular else _phonons(results["model"], bench.reference))
    if measure == "elastic":
        return list(_elastic(results["model"]))
    if measure == "smoothness":
        return list(_smoothness(results["model"]))
    if measure == "nve":
        return list(_nve(results))
    return list(_rdf(results["model"], results.get("reference"), results.get("comparison")))


def _against(key: str, quantity: str, unit: str, model: float, reference: float, **more: Any) -> Row:
    """A row whose error is model minus reference, or model over reference minus one."""
    error = model / reference - 1 if more.get("relative") else model - reference
    return Row(key, quantity, unit, model, reference, error, **more)


def _repulsion(result: RepulsionResult, top: TopForceResult | None) -> Iterator[Row]:
    known = any(wall.reference is not None for wall in result.walls)
    pooled = "all scans; below 1 is too soft" if known else NO_REFERENCE
    yield _against("softening_slope", "softening slope, walls", "", result.softening_slope, 1.0, note=pooled)
    if top is not None:
        note = f"{top.atoms} atoms with forces above {top.smallest_top_force_eV_A:.3g} eV/Å"
        slope = top.softening_slope
        yield _against("softening_slope_top_forces", "softening slope, test forces", "", slope, 1.0, note=note)
    for wall in result.walls:
        yield _wall(wall)
    measures = [wall.wall for wall in result.walls]
    monotonic = min(item.monotonic_fraction for item in measures)
    worst = min(result.walls, key=lambda wall: wall.wall.monotonic_fraction).name
    note = "" if monotonic > 0.999 else f"energy falls inwards on the wall of {worst}"
    yield _against("monotonic_fraction", "wall that rises inwards", "", monotonic, 1.0, note=note)
    flips = sum(item.force_sign_flips for item in measures)
    yield _against("force_sign_flips", "force flips on walls", "", float(flips), 0.0)
    mismatch = max(item.max_force_energy_mismatch_eV_A for item in measures)
    yield _against("max_force_energy_mismatch_eV_A", "|F + dE/dr| on walls", "eV/Å", mismatch, 0.0)


def _wall(wall: WallResult) -> Row:
    """Place of the wall at 5 eV, or at the nearest level that both curves reach."""
    levels = sorted(wall.wall_distance_A, key=lambda level: abs(float(level[3:-2]) - 5.0))
    wanted = [wall.wall_distance_error_A, wall.wall_distance_A]
    level = next((at for table in wanted for at in levels if np.isfinite(table[at])), levels[0])
    notes = [f"slope {wall.wall.softening_slope:.3f}" if wall.reference is not None else NO_REFERENCE]
    if wall.level_in_training_range and not wall.level_in_training_range[level]:
        notes.append("closer than any training pair")
    key = f"wall_distance_A_{level}_{wall.name}"
    distances = wall.wall_distance_A[level], wall.reference_wall_distance_A[level]
    return _against(key, f"{wall.name} wall at {level[3:-2]} eV", "Å", *distances, note="; ".join(notes))


def _phonons(result: PhononResult, reference: Reference | None) -> Iterator[Row]:
    spread = reference.spread_THz if isinstance(reference, StoredValues) else {}
    for mode in result.modes:
        note = "" if np.isfinite(mode.reference_THz) else NO_REFERENCE
        if mode.name in spread:
            note = f"reference moves by {spread[mode.name]:.2f} THz with its amplitude"
        expected = mode.reference_THz
        yield _against(f"{mode.name}_THz", mode.name, "THz", mode.frequency_THz, expected, relative=True, note=note)
        own = f"lattice constant {result.own_lattice_constant_A:.3f} Å"
        found, quantity = mode.own_lattice_frequency_THz, f"{mode.name}, own lattice"
        yield _against(f"{mode.name}_own_lattice_THz", quantity, "THz", found, expected, relative=True, note=own)
    note = f"of {result.counted_modes} modes; lowest of the bands {result.lowest_band_frequency_THz + 0.0:.1f} THz"
    yield _against("imaginary_modes", "imaginary modes", "", float(result.imaginary_modes), 0.0, note=note)


def _harmonic(result: HarmonicResult) -> Iterator[Row]:
    note = "; ".join(result.notes) or "at the model's own minimum"
    highest = max(result.frequency_THz), max(result.reference_THz)
    yield _against("highest_mode_THz", "highest mode", "THz", *highest, relative=True, note=note)
    top, rms = 100 * result.top_modes_relative_shift, 100 * result.rms_relative_shift
    yield _against("top_modes_shift_percent", "shift of the highest modes", "%", top, 0.0, note="mean, bonds to H")
    yield _against("rms_shift_percent", "shift of all modes", "%", rms, 0.0, note="root mean square")
    yield _against("imaginary_modes", "imaginary modes", "", float(result.imaginary_modes), 0.0)


def _elastic(result: ElasticResult) -> Iterator[Row]:
    state = result.equation_of_state
    reference_lattice = state.lattice_constant_A - result.lattice_constant_error_A
    note = "" if np.isfinite(reference_lattice) else NO_REFERENCE
    lattice = state.lattice_constant_A, reference_lattice
    yield _against("lattice_constant_A", "lattice constant", "Å", *lattice, note=note)
    modulus = state.bulk_modulus_GPa, state.bulk_modulus_GPa / (1 + result.bulk_modulus_relative_error)
    yield _against("bulk_modulus_GPa", "bulk modulus", "GPa", *modulus, relative=True, note=note)
    for name in ("c11", "c12", "c44"):
        value = result.elastic_GPa[name]
        reference = value / (1 + result.elastic_relative_error.get(name, NAN))
        note = "" if np.isfinite(reference) else NO_REFERENCE
        yield _against(f"{name}_GPa", name, "GPa", value, reference, relative=True, note=note)


def _smoothness(result: SmoothnessResult) -> Iterator[Row]:
    bumpy = ", ".join(line.name for line in result.lines if line.spurious_minima)
    yield _against("spurious_minima", "spurious minima", "", float(result.spurious_minima), 0.0, note=bumpy)
    worst = max(result.lines, key=lambda line: np.nan_to_num(line.force_jump))
    note = f"{worst.name}; order {worst.force_jump_order:.1f} (3 smooth, 1 kink, 0 step)"
    yield Row("worst_force_jump", "force jump, of its range", "", result.worst_force_jump, note=note)
    mismatch = result.max_force_energy_mismatch_eV_A
    yield _against("max_force_energy_mismatch_eV_A", "|F + dE/dx| on lines", "eV/Å", mismatch, 0.0)


def _nve(results: dict[str, NveResult]) -> Iterator[Row]:
    exact = results.get("reference")
    for label, result in results.items():
        if result is exact:
            continue
        for temperature in sorted({line.temperature_K for line in result.lines}):
            line = _longest(result, temperature)
            known = None if exact is None else _longest(exact, temperature)
            key = f"{temperature:g}K_{label}"
            yield Row(
                f"drift_meV_atom_ps_{key}_{line.time_step_fs:g}fs",
                f"drift {temperature:g} K, {label}",
                "meV/atom/ps",
                line.drift_meV_atom_ps,
                NAN if known is None else known.drift_meV_atom_ps,
                low=line.drift_low_meV_atom_ps,
                high=line.drift_high_meV_atom_ps,
                note=f"{line.time_step_fs:g} fs for {line.duration_ps:g} ps; a conservative surface has 0",
            )
            scaling = next(item for item in result.scalings if item.temperature_K == temperature)
            residual = f"residual {scaling.residual_meV_atom:.2g} meV/atom; smooth is 2"
            exponent = scaling.fluctuation_exponent
            yield _against(
                f"fluctuation_exponent_{key}", f"fluctuation exponent {temperature:g} K, {label}", "", exponent, 2.0,
                note=residual,
            )  # fmt: skip
        failed = float(result.failed_runs)
        yield _against(
            f"failed_runs_{label}", f"failed runs, {label}", "", failed, 0.0,
            note="; ".join([f"of {result.runs}", *(sorted({item.kind for item in result.failures}))]),
        )  # fmt: skip


def _longest(result: NveResult, temperature_K: float) -> NveLine:
    return max(
        (line for line in result.lines if line.temperature_K == temperature_K), key=lambda line: line.duration_ps
    )


def _rdf(model: RdfResult, reference: RdfResult | None, comparison: RdfComparison | None) -> Iterator[Row]:
    for label, pair in model.pairs.items():
        if label != TOTAL and len(set(label.split("-"))) == 1:
            continue  # like ions are in the figure and in the file
        names = {"onset_A_at_0.05": "onset, g = 0.05", "first_peak_A": "first peak"}
        for name, quantity in names.items():
            changed = name.replace("onset_A", "onset_shift_A").replace("first_peak_A", "first_peak_shift_A")
            value, note, interval = pair.measures[name], NO_REFERENCE, pair.intervals[name]
            expected = NAN
            if reference is not None and comparison is not None and label in comparison.differences:
                expected, interval = reference.pairs[label].measures[name], comparison.intervals[label][changed]
                note = "negative: atoms come too close" if name.startswith("onset") else ""
            low, high = interval
            key = f"{name}_{label}"
            yield _against(key, f"{label} {quantity}", "Å", value, expected, low=low, high=high, note=note)
        if comparison is not None and label in comparison.differences:
            yield from _distances(label, comparison)
    expected = NAN if reference is None else reference.minimum_distance_A
    notes = [note for note in model.notes if "liquid" in note or " K;" in note]
    yield _against(
        "minimum_distance_A", "closest pair seen", "Å", model.minimum_distance_A, expected, note=" ".join(notes)
    )
    failed = len(model.failures)
    kinds = ", ".join(sorted({item.kind for item in model.failures}))
    note = f"of {failed + len(model.seeds)} liquids" + (f": {kinds}" if kinds else "")
    yield _against("failed_liquids", "failed liquids", "", float(failed), 0.0, note=note)


def _distances(label: str, comparison: RdfComparison) -> Iterator[Row]:
    shown = {"g_mae": ("MAE of g(r)", ""), "wasserstein_A": ("Wasserstein-1", "Å")}
    for name in DISTANCES:
        value, (low, high) = comparison.differences[label][name], comparison.intervals[label][name]
        note = f"noise floor {comparison.floors[label][name]:.2g}"
        quantity, unit = shown[name]
        yield Row(f"{name}_{label}", f"{label} {quantity}", unit, value, low=low, high=high, note=note)
