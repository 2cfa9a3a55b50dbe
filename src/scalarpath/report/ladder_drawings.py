"""Drawings of ladders: errors against budget, number of train frames and size of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from scalarpath.core.quantities import QUANTITIES
from scalarpath.report.drawings import error_axis, few_numbers, legend_below
from scalarpath.report.ladders import Ladder
from scalarpath.report.runs import parts_shown

_WIDTH_INCHES, _PANEL_HEIGHT_INCHES = 7.0, 2.6


def known_parts(prop: str, ladders: Sequence[Ladder]) -> list[str]:
    """The parts of the data on which any run of the ladders tells the error."""
    runs = [run for ladder in ladders for cell in ladder.cells for run in cell.runs()]
    return [part for part in parts_shown(runs[0].part) if any(run.error(prop, part) > 0 for run in runs)]


def error_over_ladder(prop: str, ladders: Sequence[Ladder], colours: Mapping[str, str]) -> Figure:
    """Errors of all arms over one kind of ladder: a row per ladder, a panel per part of the data."""
    parts = known_parts(prop, ladders)
    figure = Figure(figsize=(_WIDTH_INCHES, _PANEL_HEIGHT_INCHES * len(ladders) + 0.5), layout="constrained")
    rows = figure.subplots(len(ladders), len(parts), squeeze=False, sharey="row")
    for axes, ladder in zip(rows, ladders, strict=True):
        for axis, part in zip(axes, parts, strict=True):
            axis.set_xscale("log")
            axis.set_yscale("log")
            for arm in ladder.arms:
                _line(axis, ladder, arm, prop, part, colours[arm])
            _rungs(axis, ladder)
            few_numbers(axis)
            # the name of a ladder may be longer than a panel is wide, so it has a line of its own
            axis.set_title(f"{ladder.name}\n{part}" if axis is axes[0] else part, loc="left")
            axis.set_xlabel(ladder.axis.label)
        axes[0].set_ylabel(error_axis(QUANTITIES[prop]))
    legend_below(figure, {arm: Line2D([], [], color=colours[arm]) for ladder in ladders for arm in ladder.arms})
    return figure


def _line(axis: Axes, ladder: Ladder, arm: str, prop: str, part: str, colour: str) -> None:
    """Mean over the seeds on every rung, and their range."""
    points = []
    for place, runs in ladder.rungs(arm):
        errors = [run.error(prop, part) for run in runs.values()]
        known = [error for error in errors if error > 0]
        if known:
            points.append((place, np.mean(known), min(known), max(known)))
    if points:
        places, means, low, high = zip(*points, strict=True)
        axis.plot(places, means, color=colour, marker="o", ms=3.5, lw=1.3)
        axis.fill_between(places, low, high, color=colour, alpha=0.15, lw=0)


def _rungs(axis: Axes, ladder: Ladder) -> None:
    """A number at every rung, as far as they do not stand too close."""
    places = sorted(math.exp(np.mean([math.log(ladder.axis.of(run)) for run in cell.runs()])) for cell in ladder.cells)
    number_at(axis, places)


def number_at(axis: Axes, places: Sequence[float]) -> None:
    """Numbers at these places of a horizontal axis, in rising order, as far as they do not stand too close."""
    logarithmic = axis.get_xscale() == "log"
    far = [place for k, place in enumerate(places) if k == 0 or not logarithmic or place > 1.25 * places[k - 1]]
    axis.set_xticks(far, [short_number(place) for place in far])
    axis.xaxis.set_minor_locator(NullLocator())


def short_number(value: float) -> str:
    """Four digits, or three and k or M."""
    return f"{value:.4g}" if value < 1e4 else f"{value / 1e3:.3g}k" if value < 1e6 else f"{value / 1e6:.3g}M"
