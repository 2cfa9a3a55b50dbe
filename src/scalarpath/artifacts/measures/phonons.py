"""Phonons of crystals: modes that symmetry singles out, signed shifts against a reference, bands, imaginary modes.

Finite displacements in a supercell with phonopy (Togo, Chaput, Tadano and Tanaka, J. Phys.: Condens. Matter 35, 353001,
2023). Modes whose wave vector fits the supercell, as those compared here do, are exact whatever its size; the bands
between them are interpolated and need force constants that end within the supercell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.measure import Claim, Curve, Measure, Measurement, Progress
from scalarpath.artifacts.measures.elastic import equation_of_state
from scalarpath.artifacts.measures.force_constants import (
    PhononSettings,
    band_path,
    crystal_modes,
    crystal_phonons,
    imaginary_modes,
    path_axis,
)
from scalarpath.artifacts.rows import NO_REFERENCE, Row, compared
from scalarpath.artifacts.stored_values import Reference, StoredValues
from scalarpath.core.figures import MODEL, REFERENCE, blank, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FREQUENCY = "frequency (THz), imaginary below 0"


@dataclass(frozen=True)
class ModeResult:
    """One mode, ``Gamma_O``, ``Gamma_TO``, ``X_L`` or ``X_T``; of a structure of one's own see ``crystal_modes``.

    reference_THz, frequency_THz: at the lattice constant of the material, negative where the mode is imaginary;
    relative_shift: model over reference minus one, negative: red-shifted; own_lattice_frequency_THz: at
    ``PhononResult.own_lattice_constant_A``; own_lattice_relative_shift: that frequency against ``reference_THz``.
    """

    name: str
    reference_THz: float
    frequency_THz: float
    relative_shift: float
    own_lattice_frequency_THz: float
    own_lattice_relative_shift: float


@dataclass(frozen=True)
class PhononResult:
    """Phonons of a crystal.

    rms_relative_shift, own_lattice_rms_relative_shift: over the modes with a reference; lattice_constant_A: that of the
    material, at which bands and imaginary modes are taken; own_lattice_constant_A: as far from the model's equilibrium
    as the lattice constant of the material is from that of the reference, so that a perfect model has no shift; if the
    latter is unknown, the model's equilibrium; band_distance: along the path, 1/Å; band_frequency_THz: branches at each
    point ``[points][branches]``; band_tick_distance, band_tick_labels: corners of the path; imaginary_modes,
    counted_modes: over the wave vectors that fit the supercell, without the three at rest; lowest_band_frequency_THz:
    along the (interpolated) path; cell: its size in words; notes: what could not be measured, and why.
    """

    material: str
    modes: list[ModeResult]
    rms_relative_shift: float
    own_lattice_rms_relative_shift: float
    lattice_constant_A: float
    own_lattice_constant_A: float
    band_distance: list[float]
    band_frequency_THz: list[list[float]]
    band_tick_distance: list[float]
    band_tick_labels: list[str]
    imaginary_modes: int
    counted_modes: int
    imaginary_threshold_THz: float
    lowest_band_frequency_THz: float
    cell: str
    notes: list[str]


class Phonons(Measure[PhononSettings]):
    """Modes and bands of a crystal; of molecules see ``Harmonic``."""

    name = "phonons"
    settings = PhononSettings
    for_molecules = False
    claim = Claim(
        "less shifted phonons",
        "mean |relative error| of the modes",
        "(Gamma_O|Gamma_TO|X_L|X_T)_THz",  # not those at the own lattice constant
        "error",
        over_rows=np.mean,
    )
    charts = (("phonons: imaginary modes", "imaginary_modes"),)

    def measure(
        self, bench: Bench, settings: PhononSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        progress("phonons", 0, 0)
        told = partial(progress, "phonons")
        model = measure_phonons(bench.calculator, bench.material, settings, bench.reference, progress=told)
        results = {"model": model}
        if bench.reference_calculator is not None:
            results["reference"] = measure_phonons(bench.reference_calculator, bench.material, settings)
        return Measurement(results, {"material": bench.material.name, **asdict(settings)})

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        result: PhononResult = measurement.results["model"]
        spread = bench.reference.spread_THz if isinstance(bench.reference, StoredValues) else {}
        for mode in result.modes:
            note = "" if np.isfinite(mode.reference_THz) else NO_REFERENCE
            if mode.name in spread:
                note = f"reference moves by {spread[mode.name]:.2f} THz with its amplitude"
            expected = mode.reference_THz
            shown = mode.name if bench.material.is_prototype else mode.name.replace("_", " ")
            yield compared(f"{mode.name}_THz", shown, "THz", mode.frequency_THz, expected, relative=True, note=note)
            own = f"at {bench.material.size_in_words(result.own_lattice_constant_A)}"
            found, quantity = mode.own_lattice_frequency_THz, f"{shown}, own lattice"
            yield compared(f"{mode.name}_own_lattice_THz", quantity, "THz", found, expected, relative=True, note=own)
        note = f"of {result.counted_modes} modes; lowest of the bands {result.lowest_band_frequency_THz + 0.0:.1f} THz"
        yield compared("imaginary_modes", "imaginary modes", "", float(result.imaginary_modes), 0.0, note=note)

    def figure(self, measurement: Measurement) -> Figure:
        """Bands, with the modes of the reference or its bands."""
        result: PhononResult = measurement.results["model"]
        reference: PhononResult | None = measurement.results.get("reference")
        figure = blank(4.6, 3.4)
        axis = figure.subplots()
        if reference is not None:
            _bands(axis, reference, color=REFERENCE, lw=1.0, ls="--", label="reference")
        _bands(axis, result, color=MODEL, label="model")
        labels = _shown(result.band_tick_labels)
        style: dict[str, Any] = {"marker": "o", "ms": 5, "ls": "none", "color": REFERENCE, "zorder": 3}
        for mode in result.modes:
            point = "Γ" if mode.name.startswith("Gamma") else mode.name[0]
            at = [x for x, text in zip(result.band_tick_distance, labels, strict=True) if text == point]
            if reference is None and np.isfinite(mode.reference_THz):
                axis.plot(at, [mode.reference_THz] * len(at), label="reference", clip_on=False, **style)
        for x in result.band_tick_distance:
            axis.axvline(x, color="0.85", lw=0.8, zorder=0)
        axis.axhline(0.0, color="0.6", lw=0.8, zorder=0)
        axis.set(xlim=(0, result.band_distance[-1]), ylabel=FREQUENCY)
        axis.set_xticks(result.band_tick_distance, labels)
        axis.set_title(f"{result.material} at {result.cell}")
        legend(figure, np.array([axis]))
        return figure

    def curves(self, results: Mapping[str, Any]) -> Iterator[Curve]:
        """Bands; a reference of stored modes has none."""
        for name in ("reference", "model"):
            found = results.get(name)
            if found is not None and found.get("band_distance"):  # a molecule has none
                x, y = _with_gaps(found["band_distance"], found["band_frequency_THz"])
                ticks = dict(zip(found["band_tick_distance"], _shown(found["band_tick_labels"]), strict=True))
                yield Curve("phonons", "", FREQUENCY, x, y, name == "reference", ticks)


def _bands(axis: Axes, result: PhononResult, *, label: str, **style: Any) -> None:
    lines = axis.plot(*_with_gaps(result.band_distance, result.band_frequency_THz), **style)
    lines[0].set_label(label)


def _with_gaps(distance: Sequence[float], frequency: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Bands [points, branches] with NaN where the path goes on elsewhere: no line between."""
    x, y = np.array(distance, float), np.array(frequency, float)
    jumps = np.flatnonzero(np.diff(x) == 0) + 1
    return np.insert(x, jumps, np.nan), np.insert(y, jumps, np.nan, axis=0)


def _shown(labels: Sequence[str]) -> list[str]:
    return [text.replace("G", "Γ") for text in labels]


def measure_phonons(
    calculator: Calculator,
    crystal: Material,
    settings: PhononSettings,
    reference: Reference | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> PhononResult:
    """Phonons at the lattice constant of the material and at the model's own. Without a reference, shifts are NaN.

    progress is called with displacements done and in all. Raises ArtifactError for a molecule.
    """
    phonon = crystal_phonons(calculator, crystal, settings, progress=progress)
    found = crystal_modes(phonon, crystal)
    expected, own_lattice, notes = _reference_and_own_lattice(calculator, crystal, settings, reference)
    own = dict.fromkeys(found, np.nan)
    if np.isfinite(own_lattice):
        own = crystal_modes(crystal_phonons(calculator, crystal, settings, own_lattice, progress=progress), crystal)
    modes = [
        ModeResult(
            name=name,
            reference_THz=expected.get(name, np.nan),
            frequency_THz=found[name],
            relative_shift=found[name] / expected.get(name, np.nan) - 1,
            own_lattice_frequency_THz=own[name],
            own_lattice_relative_shift=own[name] / expected.get(name, np.nan) - 1,
        )
        for name in found
    ]
    path = band_path(phonon, crystal, settings.band_points)
    distance, ticks, labels = path_axis(path)
    bands = phonon.run_qpoints(path.kpts).frequencies
    imaginary, counted = imaginary_modes(phonon, settings.imaginary_threshold_THz)
    return PhononResult(
        material=crystal.name,
        modes=modes,
        rms_relative_shift=_rms([mode.relative_shift for mode in modes]),
        own_lattice_rms_relative_shift=_rms([mode.own_lattice_relative_shift for mode in modes]),
        lattice_constant_A=crystal.lattice_constant_A,
        own_lattice_constant_A=own_lattice,
        band_distance=[float(at) for at in distance],
        band_frequency_THz=[[float(value) for value in point] for point in bands],
        band_tick_distance=[float(at) for at in ticks],
        band_tick_labels=list(labels),
        imaginary_modes=imaginary,
        counted_modes=counted,
        imaginary_threshold_THz=settings.imaginary_threshold_THz,
        lowest_band_frequency_THz=float(bands.min()),
        cell=crystal.size_in_words(crystal.lattice_constant_A),
        notes=notes,
    )


def _reference_and_own_lattice(
    calculator: Calculator,
    crystal: Material,
    settings: PhononSettings,
    reference: Reference | None,
) -> tuple[dict[str, float], float, list[str]]:
    own = equation_of_state(calculator, crystal).lattice_constant_A
    notes = [] if np.isfinite(own) else ["the model has no equilibrium lattice constant near the reference's"]
    if reference is None:
        return {}, own, [*notes, "no reference, so no shifts"]
    if isinstance(reference, StoredValues):
        expected = reference.modes_THz
        equilibrium = reference.equation_of_state.get("lattice_constant_A", np.nan)
    else:
        expected = crystal_modes(crystal_phonons(reference, crystal, settings), crystal)
        equilibrium = equation_of_state(reference, crystal).lattice_constant_A
    if np.isnan(equilibrium):
        return expected, own, [*notes, "the reference's equilibrium is unknown: own lattice is the model's equilibrium"]
    return expected, own * crystal.lattice_constant_A / equilibrium, notes


def _rms(shifts: list[float]) -> float:
    known = np.array(shifts)[np.isfinite(shifts)]
    return float(np.sqrt((known**2).mean())) if len(known) else np.nan
