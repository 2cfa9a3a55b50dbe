"""Style of the figures; matplotlib without its global state, imported when something is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE, MODEL = "#33475b", "#d1495b"
SERIES = ("#d1495b", "#2a9d8f", "#e9a23b", "#7b5ea7", "#5aa9e6", "#8d6b48", "#33475b", "#9aa5b1")
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "scalarpath",
    "svg.fonttype": "none",
}
_PANEL_INCHES = (3.1, 2.7)


def save(figure: Figure, path: Path) -> None:
    """Write ``path`` with the suffixes .svg (text as text, same bytes for same figures) and .png."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=200)


def blank(width_inches: float, height_inches: float) -> Figure:
    """A figure without axes."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def panels(rows: int, columns: int, *, share_x: bool = False) -> tuple[Figure, np.ndarray]:
    """A figure and its axes [rows, columns]; ``share_x``: one x axis per column."""
    width, height = _PANEL_INCHES
    figure = blank(width * columns, height * rows + 0.4)
    return figure, figure.subplots(rows, columns, squeeze=False, sharex="col" if share_x else False)


def legend(figure: Figure, axes: np.ndarray, columns: int = 5) -> None:
    """One legend below all panels."""
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns)
