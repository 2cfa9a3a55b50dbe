"""Figures of a report, as SVG text; matplotlib without its global state."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib
from matplotlib.figure import Figure

from scalarpath.core.figures import SERIES, STYLE
from scalarpath.core.quantities import PRIMARY, PRIMARY_FIRST, QUANTITIES
from scalarpath.report.aggregate import Aggregate
from scalarpath.report.artifact_drawings import artifact_figure
from scalarpath.report.cells import BASELINE
from scalarpath.report.costs import Cost
from scalarpath.report.drawings import INK, cost_and_gain, forest, learning_curves, seed_dots
from scalarpath.report.effects import ALL_DATA, ARM, Effect
from scalarpath.report.gain_drawings import gain_map
from scalarpath.report.gain_grid import gain_grid, squares
from scalarpath.report.ladder_drawings import error_over_ladder, known_parts
from scalarpath.report.ladders import AXES
from scalarpath.report.runs import listed, mae_of, parts_shown
from scalarpath.report.verdicts import PUBLISHED_ON, PUBLISHED_PERCENT

REPORT_STYLE = STYLE | dict.fromkeys(
    ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
)
REPORT_STYLE |= {"text.parse_math": False}  # names of heads and data are no formulas
OTHER_COLOURS = (*(c for c in SERIES[1:] if c != "#33475b"), "#6a994e", "#e07a9b", "#3a86ff")  # readable on dark pages
_NOUN = QUANTITIES[PRIMARY].noun
GAINS, GRID = "gains", "grid"
"""The rows of the gain map and of the gain grid, each of which stands alone and is as wide as it has panels."""
_BEYOND = "An arrow head: it goes on beyond the axis."


@dataclass(frozen=True)
class Picture:
    """A figure with its file name, caption and SVG text; ``row`` names those that stand side by side on a page."""

    name: str
    caption: str
    svg: str
    row: str = ""

    def inline(self) -> str:
        """For a page with other figures: colour of the text around it, ids of its own, size of its place."""
        body = self.svg[self.svg.index("<svg") :].replace(INK, "currentColor")
        body = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{self.name}-", body)
        plain = re.sub(r'<svg ([^>]*?)height="[^"]*"([^>]*?)width="[^"]*"', r'<svg role="img" \1\2', body, count=1)
        if self.row not in (GAINS, GRID):
            return plain
        # as wide as it has panels: letters stay readable on a telephone, and do not grow with the page
        points = float(re.findall(r'<svg [^>]*?width="([\d.]+)pt"', self.svg)[0])
        style = f"min-width:{0.85 * points:.0f}px;max-width:{1.45 * points:.0f}px"
        return plain.replace("<svg ", f'<svg style="{style}" ', 1)

    def standalone(self) -> str:
        """For a file: on white."""
        end = self.svg.index(">", self.svg.index("<svg")) + 1
        return f'{self.svg[:end]}<rect width="100%" height="100%" fill="white"/>{self.svg[end:]}'


def pictures(found: Aggregate) -> list[Picture]:
    """All figures that the runs give."""
    colours = arm_colours(found)
    made = [*_effects(found, colours), *_gains(found, colours), *_grid(found)]
    made += [*_seeds(found, colours), *_ladders(found, colours)]
    made += _artifacts(found, colours)
    caption = f"Validation {_NOUN} MAE by epoch: mean over seeds, and the range of the seeds."
    made.append(_picture("learning_curves", caption, partial(learning_curves, found.cells, colours), "runs"))
    points = [(effect, cost) for effect in found.effects if (cost := _cost_of(effect, found.costs)) is not None]
    if points:
        caption = (
            f"Change of the {mae_of(PRIMARY, found.part)} against baseline and what it costs; bars: 95 % t interval. "
            f"Lower left is better. {_BEYOND}"
        )
        made.append(_picture("cost_and_gain", caption, partial(cost_and_gain, points, colours), "runs"))
    return made


def arm_colours(found: Aggregate) -> dict[str, str]:
    """One colour for an arm in all figures."""
    arms = sorted({arm for cell in found.cells for arm in cell.arms} - {ARM, BASELINE})
    others = {arm: OTHER_COLOURS[index % len(OTHER_COLOURS)] for index, arm in enumerate(arms)}
    return {BASELINE: INK, ARM: SERIES[0], **others}


def _effects(found: Aggregate, colours: dict[str, str]) -> Iterator[Picture]:
    """Changes against baseline and controls, a figure per quantity; the published range where claims are judged."""
    caption = (
        f"Change of the {{noun}} MAE on the {found.part} set: mean over paired seeds, 95 % t interval (thick) and, "
        "where there are test_frames.csv, bootstrap interval (thin, below). Filled: against baseline; hollow: "
        f"{ARM} against a control. Left of zero is better. {_BEYOND}"
    )
    for quantity in PRIMARY_FIRST:
        name = quantity.name
        chosen = [effect for effect in found.effects if (effect.prop, effect.statistic) == (name, "mae")]
        if not chosen:
            continue
        band = bool(found.verdicts) and name in PUBLISHED_PERCENT and any(e.backbone == PUBLISHED_ON for e in chosen)
        shaded = f" Shaded: the range published for {ARM} on {PUBLISHED_ON} with five seeds." if band else ""
        drawer = partial(forest, name, chosen, colours, band=band)
        yield _picture(f"effects_{name}", caption.format(noun=quantity.noun) + shaded, drawer, "effects")
        caption = "The same for the {noun} MAE."


def _gains(found: Aggregate, colours: dict[str, str]) -> Iterator[Picture]:
    """Where a head pays, if the runs differ in anything but head and seed."""
    if found.gains:
        caption = (
            f"Where a head pays: change of the {found.part} MAE against baseline (mean over paired seeds, 95 % t "
            "interval), over everything in which the runs differ, one thing at a time and all else equal. Below zero "
            f"is better. Pale: undecided, the t or the bootstrap interval reaches zero, or there is none. {_BEYOND}"
        )
        yield _picture("gain_map", caption, partial(gain_map, found.gains, colours), GAINS)


def _grid(found: Aggregate) -> Iterator[Picture]:
    """The same on one page of numbers, and on the frames of other files, if there is more than one network."""
    shown = squares(found.cells, found.effects, found.other_frames)
    if len({square.network for square in shown}) > 1:
        caption = (
            f"Change of the {mae_of(PRIMARY, found.part)} against baseline in percent, by network and data set, on its "
            f"{found.part} frames and on those of other files. Bold: every 95 % interval excludes zero (with other "
            "files there is the t interval alone)."
        )
        yield _picture("gain_grid", caption, partial(gain_grid, shown), GRID)


def _seeds(found: Aggregate, colours: dict[str, str]) -> Iterator[Picture]:
    """Errors of every run, a figure per quantity."""
    caption = (
        f"{found.part.capitalize()} {{noun}} MAE of every run: a dot per seed, in the same order in every row, and the "
        f"mean as a bar. Heads are in the order of their {_NOUN} errors."
    )
    for quantity in PRIMARY_FIRST:
        cells = [cell for cell in found.cells if any(run.error(quantity.name) > 0 for run in cell.runs())]
        if cells:
            drawer = partial(seed_dots, quantity.name, cells, colours)
            yield _picture(f"seeds_{quantity.name}", caption.format(noun=quantity.noun), drawer, "seeds")
            caption = "The same for the {noun} MAE."


def _ladders(found: Aggregate, colours: dict[str, str]) -> Iterator[Picture]:
    """Errors against budget, train frames and size, as far as the runs differ in them; a figure per quantity."""
    for axis in AXES.values():
        inside = [ladder for ladder in found.ladders if ladder.axis is axis and ladder.arms]
        caption = (
            f"The {{noun}} MAE against {axis.label}, on {listed(parts_shown(found.part))} frames with the same "
            f"weights: mean over seeds, and their range. Every point is a training of its own.{axis.remark}"
        )
        for quantity in PRIMARY_FIRST:
            chosen = [ladder for ladder in inside if known_parts(quantity.name, [ladder])]
            if chosen:
                drawer = partial(error_over_ladder, quantity.name, chosen, colours)
                yield _picture(f"{axis.name}_{quantity.name}", caption.format(noun=quantity.noun), drawer, axis.name)
                caption = "The same for the {noun} MAE."


def _artifacts(found: Aggregate, colours: dict[str, str]) -> Iterator[Picture]:
    """Curves behind the physical artifacts, a figure per measure and cell."""
    for each in found.artifact_curves:
        caption = (
            f"Artifacts, {each.measure}, of {each.name} (measured on {each.material}): a line for every run; wide and "
            "pale the reference, where it is known, as far as which the axes go. What failed has no line."
        )
        name = re.sub(r"\W+", "_", f"{each.measure}_{each.data}_{each.model}_{each.material}")
        yield _picture(name, caption, partial(artifact_figure, each, colours), "artifacts")


def _cost_of(effect: Effect, costs: Sequence[Cost]) -> Cost | None:
    """Cost that belongs to an effect on the primary MAE against baseline; None for other effects."""
    if not effect.is_main or effect.data == ALL_DATA:
        return None
    return next(cost for cost in costs if (cost.place, cost.arm) == (effect.place, effect.arm))


def _picture(name: str, caption: str, drawer: Callable[[], Figure], row: str) -> Picture:
    # ids in the file depend on the salt and the content, so that equal figures are equal files
    with matplotlib.rc_context(REPORT_STYLE):
        text = io.StringIO()
        drawer().savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Picture(name, caption, text.getvalue(), row)
