"""Curves of the physical artifacts of many runs in one figure: walls, bands, liquids."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scalarpath.artifacts.measure import Curve
from scalarpath.report.artifact_rows import ArtifactCurves
from scalarpath.report.drawings import figure_of_panels, legend_below

REFERENCE: dict[str, Any] = {"color": "#9aa5b1", "lw": 4.5, "alpha": 0.6, "solid_capstyle": "round", "zorder": 1}
"""Wide and pale, below the lines of the models."""
_MARGIN = 0.15
_FEW_POINTS = 20  # of a reference: marked


def artifact_figure(found: ArtifactCurves, colours: dict[str, str]) -> Figure:
    """A panel for every title of the curves, a line for every run, the reference once."""
    every = [(arm, curve) for arm, seeds in found.curves.items() for curves in seeds.values() for curve in curves]
    titles = list(dict.fromkeys(curve.panel for _, curve in every))
    figure, axes = figure_of_panels(len(titles))
    handles: dict[str, Line2D] = {}
    for axis, title in zip(axes, titles, strict=True):
        inside = [(arm, curve) for arm, curve in every if curve.panel == title]
        reference = next((curve for _, curve in inside if curve.is_reference), None)
        if reference is not None:
            few = np.isfinite(reference.y).sum() <= _FEW_POINTS
            axis.plot(reference.x, reference.y, **REFERENCE, marker="o" if few else None)
            handles["reference"] = Line2D([], [], **REFERENCE)
        for arm, curve in inside:
            if not curve.is_reference:
                axis.plot(curve.x, curve.y, color=colours[arm], lw=0.9, alpha=0.85)
                handles[arm] = Line2D([], [], color=colours[arm])
        _frame(axis, reference or inside[0][1])
    legend_below(figure, handles)
    return figure


def _frame(axis: Axes, curve: Curve) -> None:
    """Title, labels and range of the axes: as far as this curve goes."""
    axis.set(title=curve.panel, xlabel=curve.x_label, ylabel=curve.y_label)
    known = curve.y[np.isfinite(curve.y)]
    if known.size:
        margin = _MARGIN * np.ptp(known)
        axis.set_ylim(known.min() - margin, known.max() + margin)
    if curve.ticks is not None:
        axis.set_xticks(list(curve.ticks), list(curve.ticks.values()))
        axis.grid(axis="x", color="0.85", lw=0.8)
