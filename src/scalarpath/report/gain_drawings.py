"""The gain map: effects of heads over everything in which the runs differ, in small multiples."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.drawings import INK, MARKERS, interval_bar, legend_below, within
from scalarpath.report.effects import percent
from scalarpath.report.gain_map import GainLine, Place
from scalarpath.report.ladder_drawings import number_at

PALE = 0.3
"""Opacity of what is undecided."""
_LEAST_WIDTH_INCHES, _PANEL_INCHES = 4.7, (2.3, 1.75)
_APART_POINTS = 5.0
"""Between lines at one place of an axis."""
_TICK_LETTERS, _LEGEND_LETTERS, _LETTER_INCHES = 17, 40, 0.068
_LOGARITHMIC_FROM = 3.0
"""Ratio of the largest to the smallest place."""


def gain_map(lines: Sequence[GainLine], colours: Mapping[str, str]) -> Figure:
    """A row per quantity and a panel per axis; a colour per head, a marker per rest of the settings."""
    axes_names = list(dict.fromkeys(line.axis for line in lines))
    props = [q.name for q in PRIMARY_FIRST if any(q.name in effects for line in lines for _, effects in line.points)]
    width, height = _PANEL_INCHES
    size = (max(_LEAST_WIDTH_INCHES, 0.8 + width * len(axes_names)), height * len(props) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(props), len(axes_names), squeeze=False, sharex="col", sharey="row")
    names = list(dict.fromkeys(line.name for line in lines))
    for column, axis_name in enumerate(axes_names):
        inside = [line for line in lines if line.axis == axis_name]
        for axis, prop in zip(rows[:, column], props, strict=True):
            _panel(axis, inside, prop, names, colours)
        rows[-1, column].set_xlabel(inside[0].label)
    for axis, prop in zip(rows[:, 0], props, strict=True):
        axis.set_ylabel(prop)
    part = next(effect.part for line in lines for _, effects in line.points for effect in effects.values())
    figure.supylabel(f"change of the MAE on {part} frames (%)", fontsize="medium")
    dot = partial(Line2D, [], [], ls="none")
    handles = {line.arm: dot(marker="o", color=colours[line.arm]) for line in lines}
    if len(names) == 1:
        legend_below(figure, handles)
        return figure
    shown = {_wrapped(name, _LEGEND_LETTERS): dot(marker=_marker(name, names), color=INK, mfc="none") for name in names}
    widest = max(len(part) for name in [*handles, *shown] for part in name.splitlines())
    legend_below(figure, handles | shown, columns=max(1, int(size[0] / (0.4 + _LETTER_INCHES * widest))))
    return figure


def _wrapped(name: str, letters: int, lines: int | None = None) -> str:
    """A label in lines, of which so many leave room for the panels; the whole of it stands in the tables."""
    return "\n".join(textwrap.wrap(name, letters, max_lines=lines, placeholder="…")) or name


def _panel(axis: Axes, lines: Sequence[GainLine], prop: str, names: Sequence[str], colours: Mapping[str, str]) -> None:
    """The lines of one axis in one quantity, each a little beside the others."""
    axis.axhline(0.0, color=INK, lw=0.8)
    places = list(dict.fromkeys(place for line in lines for place, _ in line.points))
    numbers = [place for place in places if not isinstance(place, str)]
    if not numbers:
        shown = [_wrapped(str(place), _TICK_LETTERS, lines=2) for place in places]
        axis.set_xticks(range(len(places)), shown, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_xlim(-0.5, len(places) - 0.5)
    elif max(numbers) >= _LOGARITHMIC_FROM * min(numbers):
        axis.set_xscale("log")
    for number, line in enumerate(lines):
        beside = ScaledTranslation(
            _APART_POINTS * (number - (len(lines) - 1) / 2) / 72, 0.0, axis.figure.dpi_scale_trans
        )
        shifted: dict[str, Any] = {"transform": axis.transData + beside, "color": colours[line.arm]}
        known = [(_number(place, places), effects[prop]) for place, effects in line.points if prop in effects]
        if numbers:
            axis.plot(*zip(*((x, within(percent(e.mean))) for x, e in known), strict=True), alpha=PALE, lw=1, **shifted)
        for x, effect in known:
            style = shifted | {"alpha": 1.0 if effect.is_decided else PALE}
            interval_bar(axis, x, effect.low, effect.high, upright=True, lw=1.3, **style)
            axis.plot(x, within(percent(effect.mean)), ls="none", marker=_marker(line.name, names), ms=4.5, **style)
            # matplotlib does not scale an axis by what is drawn beside its place
            ends = [effect.mean] if math.isnan(effect.low) else [effect.low, effect.high]
            axis.update_datalim([(x, within(percent(end))) for end in ends])
    axis.margins(x=0.15, y=0.08)
    axis.autoscale_view()
    if numbers:
        number_at(axis, sorted(numbers))


def _number(place: Place, places: Sequence[Place]) -> float:
    """Of a category its number among all."""
    return float(places.index(place)) if isinstance(place, str) else place


def _marker(name: str, names: Sequence[str]) -> str:
    return MARKERS[names.index(name) % len(MARKERS)]
