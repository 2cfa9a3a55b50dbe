"""Validation error against processor time, on log axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.cost.accuracy.ratios import by_arm
from scalarpath.cost.accuracy.task import OWN

SHOWN = ("forces", "energy")
WIDTH, HEIGHT = 4.6, 3.4


def write_figure(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """SVG: a row per backbone; a line per run, and its end as a marker; peers are dashed."""
    groups = by_arm(results)
    backbones = list(dict.fromkeys(key[0] for key in groups))
    size = (WIDTH * len(SHOWN), HEIGHT * len(backbones))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(backbones), len(SHOWN), squeeze=False)
    for row, backbone in zip(panels, backbones, strict=True):
        lines = list(dict.fromkeys(key[1:3] for key in groups if key[0] == backbone))
        for axis, quantity in zip(row, SHOWN, strict=True):
            for (name, program, recipe, _), found in groups.items():
                if name == backbone:
                    _draw(axis, found, metric_name(quantity), lines.index((program, recipe)), program, recipe)
            unit = QUANTITIES[quantity].shown_unit
            axis.set(xscale="log", yscale="log", xlabel="processor seconds", ylabel=f"validation {quantity}, {unit}")
            axis.set_title(backbone)
            axis.grid(which="both", color="0.92")
        handles = dict(zip(*reversed(row[0].get_legend_handles_labels()), strict=True))
        row[0].legend(handles.values(), handles.keys(), fontsize=7)
    figure.savefig(path, format="svg")


def _draw(axis: Any, results: Sequence[Mapping[str, Any]], key: str, colour: int, program: str, recipe: str) -> None:
    for result in results:
        curve = [row for row in result["curve"] if key in row]
        x, y = [row["cpu_s"] for row in curve], [row[key] for row in curve]
        style = {"color": f"C{colour}", "lw": 1.2, "ls": "-" if program == OWN else "--"}
        axis.plot(x, y, label=f"{program}, {recipe}", **style)
        axis.plot(x[-1:], [result["errors"]["valid"][key]], marker="o", ms=4, **style)
