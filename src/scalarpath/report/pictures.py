"""Figures of a report, as SVG text; matplotlib without its global state."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from scalarpath.artifacts.figures import SERIES, STYLE
from scalarpath.core.quantities import PRIMARY, PRIMARY_FIRST, QUANTITIES, Quantity
from scalarpath.report.aggregate import Aggregate
from scalarpath.report.cells import BASELINE, Cell
from scalarpath.report.costs import Cost
from scalarpath.report.effects import ALL_DATA, ARM, Effect, percent
from scalarpath.report.verdicts import PUBLISHED_ON, PUBLISHED_PERCENT

INK = "#0a0b0c"  # text and axes; becomes the colour of the page's text where a figure stands in the page
SHADE = "#2a9d8f"
REPORT_STYLE = STYLE | dict.fromkeys(
    ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
)
MOST_PERCENT = 100.0  # of the axis of changes: intervals of two seeds reach far beyond
OTHER_COLOURS = (*(c for c in SERIES[1:] if c != "#33475b"), "#6a994e", "#e07a9b", "#3a86ff")  # readable on dark pages
MARKERS = "os^Dv<>Pph*X"
_NOUN = QUANTITIES[PRIMARY].noun
_COLUMNS = 2
_MOST_ARMS_IN_HALF = 6  # names below a panel of half the width
_WIDTH_INCHES, _PANEL_HEIGHT_INCHES = 6.4, 2.7


@dataclass(frozen=True)
class Picture:
    """A figure with its file name, caption and SVG text."""

    name: str
    caption: str
    svg: str

    def inline(self) -> str:
        """For a page with other figures: colour of the text around it, ids of its own, size of its place."""
        body = self.svg[self.svg.index("<svg") :].replace(INK, "currentColor")
        body = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{self.name}-", body)
        return re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r'<svg role="img" \1\2', body, count=1)

    def standalone(self) -> str:
        """For a file: on white."""
        end = self.svg.index(">", self.svg.index("<svg")) + 1
        return f'{self.svg[:end]}<rect width="100%" height="100%" fill="white"/>{self.svg[end:]}'


def pictures(found: Aggregate) -> list[Picture]:
    """All figures that the runs give."""
    return list(_pictures(found))


def _pictures(found: Aggregate) -> Iterator[Picture]:
    colours = arm_colours(found)
    for prop, noun in ((quantity.name, quantity.noun) for quantity in PRIMARY_FIRST):
        chosen = [effect for effect in found.effects if (effect.prop, effect.statistic) == (prop, "mae")]
        if chosen:
            band = ""
            if prop in PUBLISHED_PERCENT and any(effect.backbone == PUBLISHED_ON for effect in chosen):
                band = f" Shaded: the range published for panpgs on {PUBLISHED_ON} with five seeds."
            yield _picture(
                f"effects_{prop}",
                f"Change of the {noun} MAE on the test set: mean over paired seeds, 95 % t interval (thick) "
                f"and, where there are test_frames.csv, bootstrap interval (thin, below). Filled: against baseline; "
                f"hollow: {ARM} against a control. Left of zero is better.{band}",
                partial(forest, prop, chosen, colours),
            )
    for prop, noun in ((quantity.name, quantity.noun) for quantity in PRIMARY_FIRST):
        cells = [cell for cell in found.cells if any(run.test_error(prop) > 0 for run in cell.runs())]
        if cells:
            yield _picture(
                f"seeds_{prop}",
                f"Test {noun} MAE of every run; a line joins runs of one seed, which share the weights of the "
                "backbone at the start and the order of the data.",
                partial(seed_dots, prop, cells, colours),
            )
    yield _picture(
        "learning_curves",
        f"Validation {_NOUN} MAE by epoch: mean over seeds, and the range of the seeds.",
        partial(learning_curves, found.cells, colours),
    )
    points = [(effect, cost) for effect in found.effects if (cost := _cost_of(effect, found.costs)) is not None]
    if points:
        yield _picture(
            "cost_and_gain",
            f"Change of the {_NOUN} MAE against baseline and what it costs; bars: 95 % t interval. Lower left is "
            "better.",
            partial(cost_and_gain, points, colours),
        )


def arm_colours(found: Aggregate) -> dict[str, str]:
    """One colour for an arm in all figures."""
    arms = sorted({arm for cell in found.cells for arm in cell.arms} - {ARM, BASELINE})
    others = {arm: OTHER_COLOURS[index % len(OTHER_COLOURS)] for index, arm in enumerate(arms)}
    return {BASELINE: INK, ARM: SERIES[0], **others}


def forest(prop: str, effects: Sequence[Effect], colours: dict[str, str]) -> Figure:
    """Percent changes with their intervals, one row per comparison, by data set and backbone."""
    rows: list[Effect | str] = []
    for effect in effects:
        place = f"{effect.data} × {effect.backbone}"
        if not any(row == place for row in rows):
            rows.append(place)
        rows.append(effect)
    figure = Figure(figsize=(_WIDTH_INCHES, 0.7 + 0.23 * len(rows)), layout="constrained")
    axis = figure.subplots()
    if prop in PUBLISHED_PERCENT and any(effect.backbone == PUBLISHED_ON for effect in effects):
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
        xlabel=f"change of the {QUANTITIES[prop].noun} MAE (%)",
    )  # fmt: skip
    for text, row in zip(axis.get_yticklabels(), rows, strict=True):
        text.set_fontweight("bold" if isinstance(row, str) else "normal")
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(max(axis.get_xlim()[0], -MOST_PERCENT), min(axis.get_xlim()[1], MOST_PERCENT))
    axis.spines["left"].set_visible(False)
    return figure


def _forest_row(axis: Axes, height: int, effect: Effect, colour: str, *, hollow: bool) -> None:
    face = "white" if hollow else colour
    if not math.isnan(effect.low):
        axis.plot([percent(effect.low), percent(effect.high)], [height, height], color=colour, lw=2.4)
    if not math.isnan(effect.bootstrap_low):
        ends = [percent(effect.bootstrap_low), percent(effect.bootstrap_high)]
        axis.plot(ends, [height + 0.25] * 2, color=colour, lw=0.9)
    axis.plot(percent(effect.mean), height, marker="D" if hollow else "o", ms=5, mfc=face, mec=colour)


def seed_dots(prop: str, cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    """Test errors of every run, arms side by side, one panel per cell."""
    crowded = max(len(cell.arms) for cell in cells) > _MOST_ARMS_IN_HALF
    figure, axes = _panels(len(cells), columns=1 if crowded else _COLUMNS)
    for axis, cell in zip(axes, cells, strict=True):
        arms = list(cell.arms)
        for seed in sorted({run.seed for run in cell.runs()}):
            values = [cell.arms[arm][seed].test_error(prop) if seed in cell.arms[arm] else math.nan for arm in arms]
            axis.plot(range(len(arms)), values, color="#9aa5b1", lw=0.7, zorder=1)
            axis.scatter(range(len(arms)), values, c=[colours[arm] for arm in arms], s=16, zorder=2)
        axis.set(title=cell.name, ylabel=_error_axis(QUANTITIES[prop]))
        axis.set_xticks(range(len(arms)), arms, rotation=40, ha="right", rotation_mode="anchor")
        axis.margins(x=0.15)
    return figure


def learning_curves(cells: Sequence[Cell], colours: dict[str, str]) -> Figure:
    """Validation errors of the primary quantity by epoch, one panel per cell."""
    figure, axes = _panels(len(cells))
    for axis, cell in zip(axes, cells, strict=True):
        for arm, seeds in cell.arms.items():
            curves = [run.learning_curve(PRIMARY) for run in seeds.values()]
            # early stopping: means as far as all seeds go
            shortest = min((epochs for epochs, _ in curves), key=len)
            values = np.array([errors[: len(shortest)] for _, errors in curves])
            axis.semilogy(shortest, values.mean(axis=0), color=colours[arm], label=arm, lw=1.3)
            axis.fill_between(shortest, values.min(axis=0), values.max(axis=0), color=colours[arm], alpha=0.15, lw=0)
        axis.set(title=cell.name, xlabel="epoch", ylabel=_error_axis(QUANTITIES[PRIMARY]))
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    _legend(figure, axes)
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
    figure, axes = _panels(len(known))
    places = list(dict.fromkeys((cost.data, cost.backbone) for _, cost in points))
    for axis, (kind, of) in zip(axes, known.items(), strict=True):
        axis.axhline(0.0, color=INK, lw=0.8)
        for effect, cost in points:
            x, y = 100 * (of(cost) - 1), percent(effect.mean)
            if not math.isnan(effect.low):
                axis.plot([x, x], [percent(effect.low), percent(effect.high)], color=colours[effect.arm], lw=0.8)
            marker = MARKERS[places.index((cost.data, cost.backbone)) % len(MARKERS)]
            axis.plot(x, y, ls="none", marker=marker, ms=5, color=colours[effect.arm], label=effect.arm)
        low, high = axis.get_ylim()
        axis.set(xlabel=f"{kind}: change (%)", ylabel=f"{_NOUN} MAE: change (%)")
        axis.set_ylim(max(low, -MOST_PERCENT), min(high, MOST_PERCENT))
    extra = [
        Line2D([], [], color=INK, ls="none", marker=MARKERS[index % len(MARKERS)], label=f"{data} × {backbone}")
        for index, (data, backbone) in enumerate(places)
    ]
    _legend(figure, axes, extra)
    return figure


def _error_axis(quantity: Quantity) -> str:
    return f"{quantity.noun} MAE ({quantity.shown_unit})"


def _cost_of(effect: Effect, costs: Sequence[Cost]) -> Cost | None:
    """Cost that belongs to an effect on the primary MAE against baseline; None for other effects."""
    if (effect.prop, effect.statistic, effect.reference) != (PRIMARY, "mae", BASELINE) or effect.data == ALL_DATA:
        return None
    key = (effect.data, effect.backbone, effect.arm)
    return next(cost for cost in costs if (cost.data, cost.backbone, cost.arm) == key)


def _picture(name: str, caption: str, drawer: Callable[[], Figure]) -> Picture:
    # ids in the file depend on the salt and the content, so that equal figures are equal files
    with matplotlib.rc_context(REPORT_STYLE):
        text = io.StringIO()
        drawer().savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Picture(name, caption, text.getvalue())


def _panels(count: int, columns: int = _COLUMNS) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, at most ``columns`` side by side."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    # of one width whatever it holds, so that letters have one size in the page
    figure = Figure(figsize=(_WIDTH_INCHES, _PANEL_HEIGHT_INCHES * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def _legend(figure: Figure, axes: Sequence[Axes], extra: Sequence[Any] = ()) -> None:
    """One legend for all panels, below."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    handles |= {handle.get_label(): handle for handle in extra}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4)
