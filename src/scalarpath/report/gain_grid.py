"""The gain grid: how far heads change the primary error, a panel per head, networks down, materials across."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from scalarpath.core.figures import MODEL
from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import PRIMARY
from scalarpath.report.cells import BASELINE, BUDGET, FRAMES, Cell, backbone_settings
from scalarpath.report.drawings import INK, SHADE
from scalarpath.report.effects import Effect, percent
from scalarpath.report.ladder_drawings import short_number
from scalarpath.report.other_frames import OtherFrames

Settings = frozenset[tuple[str, str]]
"""``backbone_settings`` of a cell, all of whose runs have the same."""
_FULL_COLOUR = 60.0  # percent
_SURE, _UNSURE = "#101112", "#6f7478"  # on the colours of the squares, whatever is around them
_COLUMN_INCHES, _ROW_INCHES, _LETTER_INCHES = 0.42, 0.27, 0.072
_MANY_SETTINGS = 3
"""So many are no name for a network; its number of parameters is one."""


@dataclass(frozen=True)
class Square:
    """``change``: of the primary MAE against baseline in percent; ``decided``: whether every interval excludes zero.

    ``network``: backbone and terms; ``data``: data set; ``frames``: a part of it, or the name of another file.
    """

    arm: str
    network: str
    data: str
    frames: str
    change: float
    decided: bool


def squares(cells: Sequence[Cell], effects: Sequence[Effect], others: Sequence[OtherFrames]) -> list[Square]:
    """By backbone, budget, train frames and size; the part of the data before other files."""
    networks = dict(sorted(_networks(cells), key=lambda item: item[1][1]))
    by_place: dict[tuple[str, str, str], list[Square]] = {place: [] for place in networks}

    def add(of: Effect | OtherFrames, arm: str, frames: str, mean: float, decided: bool) -> None:
        by_place[of.place].append(Square(arm, networks[of.place][0], of.data, frames, percent(mean), decided))

    for effect in effects:
        if effect.place in networks and effect.is_main:
            add(effect, effect.arm, effect.part, effect.mean, effect.is_decided)
    for item in others:
        if (item.group, item.metric) == (None, metric_name(PRIMARY)):
            for (arm, reference), (mean, low, high) in item.changes.items():
                if reference == BASELINE and not math.isnan(mean):
                    add(item, arm, item.file.split(".")[0], mean, low > 0 or high < 0)
    return [square for inside in by_place.values() for square in inside]


def _networks(cells: Sequence[Cell]) -> Iterator[tuple[tuple[str, str, str], tuple[str, tuple[Any, ...]]]]:
    """Place of every cell, with the name of its network and what it is sorted by.

    The network of a backbone that most runs have is named by that alone, another one by the settings in which it
    differs, or, where they are MANY, by the parameters of its smallest run on any data set. A number of train frames is
    named where data.train_size gives it: data sets have their own number of all frames.
    """
    settings = {cell.place: frozenset(backbone_settings(cell.runs()[0])) for cell in cells}
    runs_of: Counter[Settings] = Counter()
    parameters: dict[Settings, float] = {}
    for cell in cells:
        runs, own = cell.runs(), settings[cell.place]
        runs_of[own] += len(runs)
        parameters[own] = min([parameters.get(own, math.inf), *(run.number("parameters/total") for run in runs)])
    usual: dict[str, Settings] = {}
    for cell in cells:
        own = settings[cell.place]
        usual[cell.backbone] = max(usual.get(cell.backbone, own), own, key=runs_of.__getitem__)
    for cell in cells:
        run, own, most = cell.runs()[0], settings[cell.place], usual[cell.backbone]
        differing = [f"{key} {value}" for key, value in sorted(own - most)]
        if own != most and not 0 < len(differing) < _MANY_SETTINGS:
            differing = [f"{short_number(parameters[own])} parameters"]
        frames = run.config["data"].get("train_size")
        terms = cell.parting.get(BUDGET), cell.parting.get(FRAMES) if frames else None, *differing
        order = cell.backbone, run.epochs, math.inf if frames is None else len(run.splits["train"])
        rank = own != most, parameters[own], differing
        yield cell.place, (", ".join(filter(None, (cell.backbone, *terms))), (*order, *rank))


def gain_grid(found: Sequence[Square]) -> Figure:
    """What was not run stays empty."""
    rows = list(dict.fromkeys(square.network for square in found))
    by_arm = {square.arm: [each for each in found if each.arm == square.arm] for square in found}
    columns = {arm: _columns(own, found) for arm, own in by_arm.items()}
    longest = max(len(_shown(column)) for own in columns.values() for column in own)
    width = _LETTER_INCHES * max(map(len, rows)) + _COLUMN_INCHES * sum(map(len, columns.values())) + 0.2
    figure = Figure(
        figsize=(width, _ROW_INCHES * len(rows) + 0.4 + 0.8 * _LETTER_INCHES * longest), layout="constrained"
    )
    ratios = [len(own) for own in columns.values()]
    axes = figure.subplots(1, len(by_arm), squeeze=False, sharey=True, width_ratios=ratios)[0]
    for axis, (arm, own) in zip(axes, by_arm.items(), strict=True):
        _panel(axis, rows, columns[arm], own)
        axis.set_title(arm)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _columns(own: Sequence[Square], found: Sequence[Square]) -> list[tuple[str, str]]:
    """Data and frames of a head, in the order of all; data sets stay together."""
    data = sorted({square.data for square in found})
    every = list(dict.fromkeys((square.data, square.frames) for square in found))
    return sorted(
        {(square.data, square.frames) for square in own}, key=lambda each: (data.index(each[0]), every.index(each))
    )


def _shown(column: tuple[str, str]) -> str:
    return " ".join(column)


def _panel(axis: Axes, rows: Sequence[str], columns: Sequence[tuple[str, str]], own: Sequence[Square]) -> None:
    grid = np.full((len(rows), len(columns)), np.nan)
    for square in own:
        y, x = rows.index(square.network), columns.index((square.data, square.frames))
        grid[y, x] = square.change
        text = axis.text(x, y, f"{square.change:+.0f}".replace("-", "−"), ha="center", va="center", fontsize=8)
        text.set(color=_SURE if square.decided else _UNSURE, fontweight="bold" if square.decided else "normal")
    colours = LinearSegmentedColormap.from_list("gain", [SHADE, "#ffffff", MODEL])
    edges = np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5
    axis.pcolormesh(*edges, np.ma.masked_invalid(grid), cmap=colours, vmin=-_FULL_COLOUR, vmax=_FULL_COLOUR)
    axis.set_xticks(range(len(columns)), map(_shown, columns), rotation=60, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    for x, (left, right) in enumerate(pairwise(columns)):
        if left[0] != right[0]:
            axis.axvline(x + 0.5, color=INK, lw=0.8)
    axis.spines[:].set_visible(False)
