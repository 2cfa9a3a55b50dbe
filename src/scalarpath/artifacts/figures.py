"""Figures of the results, one per measure; matplotlib without its global state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator
from scipy.interpolate import CubicHermiteSpline

from scalarpath.artifacts.measures.harmonic import HarmonicResult
from scalarpath.artifacts.measures.nve import NveResult
from scalarpath.artifacts.measures.pair_distribution import ONSET_LEVELS
from scalarpath.artifacts.measures.phonons import PhononResult
from scalarpath.artifacts.measures.rdf import RdfResult
from scalarpath.artifacts.measures.repulsion import RepulsionResult, WallResult
from scalarpath.artifacts.measures.smoothness import SmoothnessResult
from scalarpath.artifacts.stored_values import WallCurve
from scalarpath.artifacts.suite import Measurement

REFERENCE, MODEL = "#33475b", "#d1495b"
SERIES = ("#d1495b", "#2a9d8f", "#e9a23b", "#7b5ea7", "#5aa9e6", "#8d6b48", "#33475b", "#9aa5b1")
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "scalarpath",
    "svg.fonttype": "none",
}
WALL_TOP_EV = 15.0  # of the energy axis
_LINE_POINTS = 400
_MOST_MARKERS = 20  # more points are a line
_MARKS = (("o", "-"), ("s", "--"), ("^", ":"))
_PANEL_INCHES = (3.1, 2.7)


def draw(measure: str, measurement: Measurement) -> Figure | None:
    """The figure of a measure of the suite; None where it has none."""
    drawer = _DRAWERS.get(measure)
    if drawer is None:
        return None
    with matplotlib.rc_context(STYLE):
        return drawer(measurement)


def save(figure: Figure, path: Path) -> None:
    """Write ``path`` with the suffixes .svg (text as text, same bytes for same figures) and .png."""
    with matplotlib.rc_context(STYLE):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=200)


def _panels(rows: int, columns: int, *, share_x: bool = False) -> tuple[Figure, np.ndarray]:
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex="col" if share_x else False)


def _legend(figure: Figure, axes: np.ndarray, columns: int = 5) -> None:
    """One legend for all panels."""
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)


def repulsion_figure(measurement: Measurement) -> Figure:
    """Energy above the minimum and force of every scan, with the reference's points."""
    result: RepulsionResult = measurement.results["model"]
    shortest = measurement.settings["min_train_distance_A"] or {}
    figure, axes = _panels(2, len(result.walls), share_x=True)
    for (energy_axis, force_axis), wall in zip(axes.T, result.walls, strict=True):
        _wall(energy_axis, force_axis, wall)
        for axis in (energy_axis, force_axis):
            axis.axhline(0.0, color="0.85", lw=0.8, zorder=0)
            if wall.pair in shortest and shortest[wall.pair] > wall.model.distance_A[0]:
                axis.axvline(shortest[wall.pair], color="0.5", ls=":", lw=1.0, label="shortest training distance")
        energy_axis.set(title=wall.name.replace("_", " "), ylim=(-0.06 * WALL_TOP_EV, WALL_TOP_EV))
        force_axis.set(xlabel="distance (Å)")
    axes[0, 0].set(ylabel="energy above the minimum (eV)")
    axes[1, 0].set(ylabel="$-dE/dr$ (eV/Å)")
    _legend(figure, axes)
    return figure


def _wall(energy_axis: Axes, force_axis: Axes, wall: WallResult) -> None:
    _curve(energy_axis, force_axis, wall.model, wall.wall_end_A, label="model", color=MODEL)
    if wall.reference is not None:
        dense = len(wall.reference.distance_A) > _MOST_MARKERS
        style: dict[str, Any] = {"lw": 1.0, "ls": "--"} if dense else {"marker": "o", "ms": 4, "ls": "none"}
        _curve(energy_axis, force_axis, wall.reference, wall.wall_end_A, label="reference", color=REFERENCE, **style)
    tops = [
        force
        for curve in (wall.model, wall.reference)
        if curve is not None
        for force, height in zip(curve.force_eV_A, _height(curve, wall.wall_end_A), strict=True)
        if height < WALL_TOP_EV and np.isfinite(force)
    ]
    if tops and max(tops) > 0:
        force_axis.set_ylim(-0.15 * max(tops), 1.15 * max(tops))


def _height(curve: WallCurve, wall_end_A: float) -> np.ndarray:
    """Energy above the minimum outside of any hole."""
    energy = np.asarray(curve.energy_eV)
    return energy - energy[np.asarray(curve.distance_A) >= 0.8 * wall_end_A].min()


def _curve(energy_axis: Axes, force_axis: Axes, curve: WallCurve, wall_end_A: float, **style: Any) -> None:
    """Points as they are; a line as the cubic that has their energies and forces."""
    distance, force, height = np.asarray(curve.distance_A), np.asarray(curve.force_eV_A), _height(curve, wall_end_A)
    if style.get("ls") != "none" and np.isfinite(force).all():
        cubic = CubicHermiteSpline(distance, height, -force)
        distance = np.linspace(distance[0], distance[-1], _LINE_POINTS)
        height, force = cubic(distance), -cubic(distance, 1)
    energy_axis.plot(distance, height, **style)
    force_axis.plot(distance, force, **style)


def phonon_figure(measurement: Measurement) -> Figure:
    """Bands with the reference's modes; of a molecule the shift of every frequency."""
    result = measurement.results["model"]
    if isinstance(result, HarmonicResult):
        return _harmonic_figure(result)
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axis = figure.subplots()
    reference = measurement.results.get("reference")
    if reference is not None:
        _bands(axis, reference, color=REFERENCE, lw=1.0, ls="--", label="reference")
    _bands(axis, result, color=MODEL, label="model")
    labels = ["Γ" if text == "G" else text for text in result.band_tick_labels]
    for mode in result.modes:
        point = "Γ" if mode.name.startswith("Gamma") else mode.name[0]
        at = [x for x, text in zip(result.band_tick_distance, labels, strict=True) if text == point]
        if reference is None and np.isfinite(mode.reference_THz):
            style: dict[str, Any] = {
                "marker": "o",
                "ms": 5,
                "ls": "none",
                "color": REFERENCE,
                "zorder": 3,
                "clip_on": False,
            }
            axis.plot(at, [mode.reference_THz] * len(at), label="reference", **style)
    for x in result.band_tick_distance:
        axis.axvline(x, color="0.85", lw=0.8, zorder=0)
    axis.axhline(0.0, color="0.6", lw=0.8, zorder=0)
    axis.set(xlim=(0, result.band_distance[-1]), ylabel="frequency (THz), imaginary below 0")
    axis.set_xticks(result.band_tick_distance, labels)
    axis.set_title(f"{result.material} at a = {result.lattice_constant_A:.3f} Å")
    _legend(figure, np.array([axis]))
    return figure


def _bands(axis: Axes, result: PhononResult, *, label: str, **style: Any) -> None:
    lines = axis.plot(result.band_distance, result.band_frequency_THz, **style)
    lines[0].set_label(label)


def _harmonic_figure(result: HarmonicResult) -> Figure:
    figure = Figure(figsize=(4.6, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.axhline(0.0, color="0.6", lw=0.8)
    axis.vlines(result.reference_THz, 0.0, 100 * np.array(result.relative_shift), color=MODEL, lw=1.0)
    axis.plot(result.reference_THz, 100 * np.array(result.relative_shift), "o", ms=4, color=MODEL)
    axis.set(xlabel="reference frequency (THz)", ylabel="shift (%), negative: too soft", title=result.material)
    return figure


def nve_figure(measurement: Measurement) -> Figure:
    """Total energy against time, and fluctuation against time step."""
    results: dict[str, NveResult] = measurement.results
    first = next(iter(results.values()))
    temperatures = sorted({line.temperature_K for line in first.lines})
    figure, axes = _panels(1, len(temperatures) + 1)
    for axis, temperature in zip(axes[0], temperatures, strict=False):
        for line, colour in zip(
            (line for line in first.lines if line.temperature_K == temperature), SERIES, strict=False
        ):
            label = f"{line.time_step_fs:g} fs"
            axis.plot(line.time_ps, line.energy_change_meV_atom, color=colour, lw=0.9, label=label)
        axis.axhline(0.0, color="0.6", lw=0.8, zorder=0)
        axis.set(
            xlabel="time (ps)",
            ylabel="total energy change (meV/atom)",
            title=f"{temperature:g} K, {next(iter(results))}",
        )
        axis.legend(ncols=2)
    _fluctuations(axes[0, -1], results)
    return figure


def _fluctuations(axis: Axes, results: dict[str, NveResult]) -> None:
    points = []
    for (name, result), (marker, dashes) in zip(results.items(), _MARKS, strict=False):
        for temperature, colour in zip(sorted({line.temperature_K for line in result.lines}), SERIES, strict=False):
            here = [
                line for line in result.lines if line.temperature_K == temperature and line.fluctuation_meV_atom > 0
            ]
            steps, sizes = [line.time_step_fs for line in here], [line.fluctuation_meV_atom for line in here]
            points += list(zip(steps, sizes, strict=True))
            style: dict[str, Any] = {
                "color": REFERENCE if name == "reference" else colour,
                "marker": marker,
                "ms": 5,
                "ls": dashes,
            }
            style["mfc"] = style["color"] if dashes == "-" else "none"
            axis.loglog(steps, sizes, label=f"{temperature:g} K, {name}", **style)
    if points:
        grid = np.array(sorted({step for step, _ in points}))
        lowest = min(points)[1]
        axis.loglog(grid, 0.6 * lowest * (grid / grid[0]) ** 2, color="0.6", ls="--", lw=1.0, label="∝ step²")
        axis.set_xticks(grid, [f"{step:g}" for step in grid])
        axis.xaxis.minorticks_off()
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.yaxis.minorticks_off()
    axis.set(xlabel="time step (fs)", ylabel="fluctuation (meV/atom)", title="fluctuation against step")
    axis.legend()


def rdf_figure(measurement: Measurement) -> Figure | None:
    """g(r) of every kind of pair, with the onset at the middle level marked."""
    model: RdfResult = measurement.results["model"]
    reference: RdfResult | None = measurement.results.get("reference")
    if not model.pairs:
        return None
    figure, axes = _panels(1, len(model.pairs))
    level = ONSET_LEVELS[1]
    for axis, label in zip(axes[0], model.pairs, strict=True):
        known = [("reference", reference, REFERENCE)] if reference is not None and label in reference.pairs else []
        for name, liquid, colour in [*known, ("model", model, MODEL)]:
            pair = liquid.pairs[label]
            axis.plot(liquid.r_A, pair.g, color=colour, label=name)
            onset = pair.measures[f"onset_A_at_{level}"]
            axis.plot([onset], [0.0], "^", ms=6, color=colour, clip_on=False, label=f"{name} onset")
        axis.axhline(1.0, color="0.85", lw=0.8, zorder=0)
        axis.set(title=label, xlabel="r (Å)", xlim=(0.5 * _first_count(model), None), ylim=(0.0, None))
    axes[0, 0].set(ylabel=f"g(r) at {model.temperature_K:g} K")
    _legend(figure, axes, columns=min(4, 2 * len(model.pairs)))
    return figure


def _first_count(result: RdfResult) -> float:
    return min(r for pair in result.pairs.values() for r, g in zip(result.r_A, pair.g, strict=True) if g > 0)


def smoothness_figure(measurement: Measurement) -> Figure:
    """Energy and force along every line."""
    result: SmoothnessResult = measurement.results["model"]
    figure, axes = _panels(2, len(result.lines), share_x=True)
    for (energy_axis, force_axis), line in zip(axes.T, result.lines, strict=True):
        energy_axis.plot(line.position_A, np.array(line.energy_eV) - line.energy_eV[-1], color=MODEL)
        force_axis.plot(line.position_A, line.force_eV_A, color=MODEL)
        force_axis.axhline(0.0, color="0.85", lw=0.8, zorder=0)
        energy_axis.set(title=line.name.replace("_", " "))
        force_axis.set(xlabel="displacement (Å)" if line.name == "atom_in_crystal" else "distance (Å)")
    axes[0, 0].set(ylabel="energy less that of the end (eV)")
    axes[1, 0].set(ylabel="force along the line (eV/Å)")
    return figure


_DRAWERS: dict[str, Callable[[Measurement], Figure | None]] = {
    "repulsion": repulsion_figure,
    "phonons": phonon_figure,
    "smoothness": smoothness_figure,
    "nve": nve_figure,
    "rdf": rdf_figure,
}
