"""Panels as one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from scalarpath.core.figures import REFERENCE, SERIES, STYLE, panels, save
from scalarpath.heads.panels import MOST_BINS, Curve, Panel

COLUMNS, MOST_CURVES = 3, 12
_BEYOND = 1.0
"""How far dashed curves, those for comparison, may leave the range of the others, as a share of it."""


def draw_panels(shown: Sequence[Panel], path: Path) -> None:
    """Write ``path`` as .svg and .png: three panels in a row, the first curves of each where there are many."""
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(math.ceil(len(shown) / COLUMNS), COLUMNS)
        for axis, panel in zip(axes.flat, shown, strict=False):
            _draw(axis, panel)
        for axis in axes.flat[len(shown) :]:
            axis.set_axis_off()
        save(figure, path)


def _draw(axis: Axes, panel: Panel) -> None:
    if panel.span is not None:
        axis.axvspan(*panel.span, color=REFERENCE, alpha=0.12, lw=0)
    if panel.identity is not None:
        axis.axhline(panel.identity, color=REFERENCE, lw=0.8, ls=":")
    curves = panel.curves[:MOST_CURVES]
    for curve in curves:
        style: dict[str, Any] = {"color": SERIES[curve.colour % len(SERIES)], "ls": "--" if curve.dashed else "-"}
        axis.plot(
            curve.x, curve.y, label=curve.label, marker="o" if len(curve.x) <= MOST_BINS else None, ms=2.5, **style
        )
        if curve.low is not None and curve.high is not None:
            axis.fill_between(curve.x, curve.low, curve.high, color=style["color"], alpha=0.18, lw=0)
    if panel.logarithmic:
        axis.set_yscale("log")
    else:
        _keep_in_range(axis, curves)
    axis.set_title(panel.title, fontsize=9)
    axis.set(xlabel=panel.x_label, ylabel=panel.y_label)
    axis.legend(fontsize=6, handlelength=1.6, labelspacing=0.3)


def _keep_in_range(axis: Axes, curves: Sequence[Curve]) -> None:
    values = [y for curve in curves if not curve.dashed for y in curve.y if math.isfinite(y)]
    if values and len(curves) > sum(not curve.dashed for curve in curves):
        beyond = _BEYOND * (max(values) - min(values))
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, min(values) - beyond), min(high, max(values) + beyond))
