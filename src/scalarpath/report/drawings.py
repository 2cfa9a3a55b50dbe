"""Drawings of a report with matplotlib: effects, errors of every seed, learning curves, gain against cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from scalarpath.core.quantities import PRIMARY, QUANTITIES, Quantity
from scalarpath.report.cells import BASELINE, Cell
from scalarpath.report.costs import Cost
from scalarpath.report.effects import Effect, percent
from scalarpath.report.runs import mae_of
from scalarpath.report.verdicts import PUBLISHED_PERCENT

INK = "#0a0b0c"  # text and axes; becomes the colour of the page's text where a figure stands in the page
SHADE = "#2a9d8f"
MOST_PERCENT = 100.0  # of the axis of changes: intervals of two seeds reach far beyond
MARKERS = "os^Dv<>Pph*X"
# widths of a figure that stands beside two others on a wide page, or beside one
_THIRD_INCHES, _HALF_INCHES = 4.7, 7.0
_ROW_INCHES, _PANEL_HEIGHT_INCHES = 0.23, 2.6
_ROWS_OF_A_SCREEN = 25


def forest(prop: str, effects: Sequence[Effect], colours: dict[str, str], *, band: bool) -> Figure:
    """Percent changes with their intervals, one row per comparison, by data set and backbone."""
    rows: list[Effect | str] = []
    for effect in effects:
        if not any(row == effect.name for row in rows):
            rows.append(effect.name)
        rows.append(effect)
    figure = Figure(figsize=(_THIRD_INCHES, 0.7 + _ROW_INCHES * len(rows)), layout="constrained")
    axis = figure.subplots()
    if band:
        axis.axvspan(*PUBLISHED_PERCENT[prop], color=SHADE, alpha=0.22, lw=0)
    axis.axvline(0.0, color=INK, lw=0.8)
    labels = []
    for height, row in enumerate(rows):
        if isinstance(row, str):
            labels.append(row)
            continue
        against = row.reference != BASELINE
        labels.append(f"{row.arm} against {row.reference}" if against else row.arm)
        _forest_row(axis, height, row, colours[row.reference if against else row.arm], hollow=against)
    axis.set(
        yticks=range(len(rows)), yticklabels=labels, ylim=(len(rows) - 0.4, -0.6),
        xlabel=f"change of the {mae_of(prop, effects[0].part)} (%)",
    )  # fmt: skip
    for text, row in zip(axis.get_yticklabels(), rows, strict=True):
        text.set_fontweight("bold" if isinstance(row, str) else "normal")
    axis.tick_params(axis="y", length=0)
    if len(rows) > _ROWS_OF_A_SCREEN:
        axis.tick_params(axis="x", top=True, labeltop=True)
    axis.set_xlim(max(axis.get_xlim()[0], -MOST_PERCENT), min(axis.get_xlim()[1], MOST_PERCENT))
    axis.spines["left"].set_visible(False)
    return figure


def _forest_row(axis: Axes, height: int, effect: Effect, colour: str, *, hollow: bool) -> None:
    face = "white" if hollow else colour
    interval_bar(axis, height, effect.low, effect.high, color=colour, lw=2.4)
    interval_bar(axis, height + 0.25, effect.bootstrap_low, effect.bootstrap_high, color=colour, lw=0.9)
    middle = within(percent(effect.mean))
    axis.plot(middle, height, marker="D" if hollow else "o", ms=5, mfc=face, mec=colour)


def interval_bar(axis: Axes, place: float, low: float, high: float, *, upright: bool = False, **style: Any) -> None:
    """An interval of log-ratios in percent; an arrow head where it goes on beyond the axis."""
    if math.isnan(low):
        return
    ends = [percent(low), percent(high)]
    inside = [within(end) for end in ends]
    axis.plot(*([[place] * 2, inside] if upright else [inside, [place] * 2]), **style)
    for end, shown, marker in zip(ends, inside, "v^" if upright else "<>", strict=True):
        if end != shown:
            point = (place, shown) if upright else (shown, place)
            kept = {key: value for key, value in style.items() if key != "lw"}
            axis.plot(*point, marker=marker, ms=5, clip_on=False, **kept)


def within(value: float) -> float:
    """Percent, not beyond the axis."""
    return min(max(value, -MOST_PERCENT), MOST_PERCENT)


def seed_dots(prop: str, cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    """Errors of every run, arms below each other, one panel per cell."""
    heights = [0.75 + _ROW_INCHES * len(cell.arms) for cell in cells]
    figure = Figure(figsize=(_THIRD_INCHES, sum(heights)), layout="constrained")
    axes = figure.subplots(len(cells), 1, squeeze=False, height_ratios=heights).ravel()
    for axis, cell in zip(axes, cells, strict=True):
        seeds = sorted({run.seed for run in cell.runs()})
        for row, (arm, runs) in enumerate(cell.arms.items()):
            values = [run.error(prop) for run in runs.values()]
            places = [row + 0.5 * ((seeds.index(seed) + 0.5) / len(seeds) - 0.5) for seed in runs]
            axis.scatter(values, places, color=colours[arm], s=16)
            axis.plot([np.nanmean(values)] * 2, [row - 0.32, row + 0.32], color=colours[arm], lw=1.6)
        axis.set_yticks(range(len(cell.arms)), list(cell.arms))
        axis.set(title=cell.name, xlabel=error_axis(QUANTITIES[prop]), ylim=(len(cell.arms) - 0.5, -0.5))
        axis.tick_params(axis="y", length=0)
        axis.margins(x=0.08)
    return figure


def learning_curves(cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    """Validation errors of the primary quantity by epoch, one panel per cell."""
    figure, axes = figure_of_panels(len(cells))
    for axis, cell in zip(axes, cells, strict=True):
        for arm, seeds in cell.arms.items():
            curves = [run.learning_curve(PRIMARY) for run in seeds.values()]
            # early stopping: means as far as all seeds go
            shortest = min((epochs for epochs, _ in curves), key=len)
            values = np.array([errors[: len(shortest)] for _, errors in curves])
            axis.semilogy(shortest, values.mean(axis=0), color=colours[arm], lw=1.3)
            axis.fill_between(shortest, values.min(axis=0), values.max(axis=0), color=colours[arm], alpha=0.15, lw=0)
        axis.set(title=cell.name, xlabel="epoch", ylabel=error_axis(QUANTITIES[PRIMARY]))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        few_numbers(axis)
    legend_below(figure, {arm: Line2D([], [], color=colours[arm]) for cell in cells for arm in cell.arms})
    return figure


def cost_and_gain(points: Sequence[tuple[Effect, Cost]], colours: dict[str, str]) -> Figure:
    """Change of the primary error over each kind of cost that is known, one panel per kind."""
    kinds: dict[str, Callable[[Cost], float]] = {
        "parameters": lambda cost: cost.parameter_ratio,
        "operations": lambda cost: cost.flops_ratio,
        "inference time": lambda cost: cost.inference.value,
        "training step": lambda cost: cost.train.value,
    }
    known = {kind: of for kind, of in kinds.items() if any(math.isfinite(of(cost)) for _, cost in points)}
    figure, axes = figure_of_panels(len(known))
    places = list(dict.fromkeys(cost.name for _, cost in points))
    for axis, (kind, of) in zip(axes, known.items(), strict=True):
        axis.axhline(0.0, color=INK, lw=0.8)
        axis.plot(0.0, 0.0, marker="o", ms=5, color=colours[BASELINE])
        for effect, cost in points:
            x = 100 * (of(cost) - 1)
            if not math.isfinite(x):
                continue
            interval_bar(axis, x, effect.low, effect.high, upright=True, color=colours[effect.arm], lw=0.8)
            marker = MARKERS[places.index(cost.name) % len(MARKERS)]
            axis.plot(x, within(percent(effect.mean)), ls="none", marker=marker, ms=5, color=colours[effect.arm])
        low, high = axis.get_ylim()
        axis.set(xlabel=f"{kind}: change (%)", ylabel=f"{mae_of(PRIMARY, points[0][0].part)}: change (%)")
        axis.set_ylim(max(low, -MOST_PERCENT), min(high, MOST_PERCENT))
    dot = partial(Line2D, [], [], ls="none")
    arms = dict.fromkeys([BASELINE, *(effect.arm for effect, _ in points)])
    handles = {arm: dot(marker="o", color=colours[arm]) for arm in arms}
    handles |= {
        place: dot(marker=MARKERS[index % len(MARKERS)], color=INK, mfc="none")
        for index, place in enumerate(places)
        if len(places) > 1
    }
    legend_below(figure, handles)
    return figure


def few_numbers(axis: Axes) -> None:
    """At a logarithmic axis of errors: 1, 2 and 5 of every power of ten."""
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def error_axis(quantity: Quantity) -> str:
    """Label of an axis of errors."""
    return f"{quantity.noun} MAE ({quantity.shown_unit})"


def figure_of_panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, two side by side."""
    columns = min(count, 2)
    rows = math.ceil(count / columns)
    # of one width whatever it holds, so that letters have one size in the page
    figure = Figure(figsize=(_HALF_INCHES, _PANEL_HEIGHT_INCHES * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def legend_below(figure: Figure, handles: dict[str, Line2D], columns: int = 4) -> None:
    """One legend for all panels, below."""
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)
