"""The ratios as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

PANELS = {"train": "training step", "inference": "inference step", "memory": "memory of a training step"}
MARKERS = "osD^vPX"


def write_figure(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """SVG: a row per model and structure, a marker per precision and number of threads, bars for the intervals."""
    names = list(dict.fromkeys(_row(result) for result in results))
    series = list(dict.fromkeys(_series(result) for result in results))
    figure = Figure(figsize=(10, 1.6 + 0.35 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(PANELS), sharey=True, squeeze=False)[0]
    for axis, (key, title) in zip(axes, PANELS.items(), strict=True):
        for k, name in enumerate(series):
            shown = [r for r in results if _series(r) == name and r[key] is not None]
            offset = (k - (len(series) - 1) / 2) * 0.6 / len(series)
            y = [names.index(_row(r)) + offset for r in shown]
            x = [r[key]["ratio"] for r in shown]
            low, high = ([abs(r[key].get(f"ratio_{end}", r[key]["ratio"]) - r[key]["ratio"]) for r in shown]
                         for end in ("low", "high"))  # fmt: skip
            axis.errorbar(x, y, xerr=[low, high], fmt=MARKERS[k % len(MARKERS)], ms=4, lw=1, label=name)
        axis.axvline(1.0, color="0.6", lw=1)
        axis.set(title=title, xlabel="peer / scalarpath", xscale="log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(axis="x", color="0.9")
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(series), fontsize=8)
    figure.savefig(path, format="svg")


def _row(result: Mapping[str, Any]) -> str:
    case = result["case"]
    return f"{case['model']}, {case['structure']}" + (
        "" if case["mode"] == "eager" else f", {case['mode'].replace('_', ' ')}"
    )


def _series(result: Mapping[str, Any]) -> str:
    threads = result["case"]["threads"]
    return f"{result['case']['dtype']}, {threads} thread{'s' if threads > 1 else ''}"
