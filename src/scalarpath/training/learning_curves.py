"""How a training went: loss and validation errors by epoch, from metrics.csv."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from scalarpath.core.figures import SERIES, STYLE, panels, save
from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES


def draw_learning_curves(table: Path, path: Path) -> None:
    """Write ``path`` with the suffixes .svg and .png: the loss, and the MAE of every quantity, in train and validation.

    The learning rate is drawn beside the loss. Train values are means over an epoch in which the weights change.
    """
    import matplotlib

    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {key: np.array([float(row[key] or "nan") for row in rows]) for key in (rows[0] if rows else ())}
    names = [name for name in QUANTITIES if f"val/{metric_name(name)}" in columns]
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(1, 1 + len(names))
        keys = {"loss": "loss"} | {name: metric_name(name) for name in names}
        for axis, (title, key) in zip(axes[0], keys.items(), strict=True):
            for part, label, colour in (("train", "train", SERIES[6]), ("val", "validation", SERIES[0])):
                values = columns.get(f"{part}/{key}")
                if values is not None and (values > 0).any():
                    axis.plot(columns["epoch"], values, color=colour, label=label)
            unit = f", MAE ({QUANTITIES[title].shown_unit})" if title in QUANTITIES else ""
            axis.set(title=f"{title}{unit}", xlabel="epoch", yscale="log")
            axis.xaxis.get_major_locator().set_params(integer=True)
        rate = axes[0][0].twinx()
        rate.plot(columns["epoch"], columns["lr"], color=SERIES[7], linewidth=0.8)
        rate.set(ylabel="learning rate (grey)", ylim=(0, None))
        rate.spines["right"].set_visible(True)
        axes[0][-1].legend()
    save(figure, path)
