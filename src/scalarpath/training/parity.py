"""Predictions against labels in a figure, from a sample of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.figures import MODEL, REFERENCE, SERIES, STYLE, panels, save
from scalarpath.core.quantities import QUANTITIES
from scalarpath.training.residuals import residual

POINTS = 20_000  # of every quantity
_COLOURS = (SERIES[7], SERIES[4], MODEL)  # of train, validation and test


class ParitySample:
    """Pairs of label and prediction, for every quantity at most POINTS, each with the same chance to be kept."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._kept = {name: np.empty((0, 3)) for name in QUANTITIES}  # drawn number, label, prediction
        self.seen = dict.fromkeys(QUANTITIES, 0)

    @torch.no_grad()
    def update(self, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        """Add one batch: all components of all labels."""
        for name in QUANTITIES:
            difference, known, label = (values.cpu().numpy() for values in residual(name, prediction, batch))
            pairs = np.stack([label[known], (label + difference)[known]], axis=1)
            drawn = np.column_stack([self._random.random(len(pairs)), pairs])
            every = np.concatenate([self._kept[name], drawn])
            self.seen[name] += len(pairs)
            # those with the smallest numbers, whenever they came
            self._kept[name] = every[np.argsort(every[:, 0], kind="stable")[:POINTS]]

    def pairs(self, name: str) -> np.ndarray:
        """Labels and predictions of a quantity [points, 2], in its unit; of an energy per atom."""
        return self._kept[name][:, 1:]

    def draw(self, path: Path) -> None:
        """As ``draw_parity`` of these pairs alone."""
        draw_parity({"": self}, path)


def draw_parity(samples: Mapping[str, ParitySample], path: Path) -> None:
    """Write ``path`` with the suffixes .svg and .png: one panel for every quantity with labels, one colour per sample.

    Below each, the distribution of the errors. Without any label nothing is written.
    """
    import matplotlib

    names = [name for name in QUANTITIES if any(sample.seen[name] for sample in samples.values())]
    if not names:
        return
    colours = dict(zip(samples, (MODEL,) if len(samples) == 1 else _COLOURS, strict=False))
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(2, len(names))
        for (axis, below), name in zip(axes.T, names, strict=True):
            quantity = QUANTITIES[name]
            unit = quantity.unit.replace("A", "Å").replace("^3", "³")
            known = {part: sample.pairs(name) for part, sample in samples.items() if sample.seen[name]}
            every = np.concatenate(list(known.values()))
            axis.plot(*[(every.min(), every.max())] * 2, color=REFERENCE, linewidth=0.8, zorder=1)
            errors = {part: quantity.factor * (pairs[:, 1] - pairs[:, 0]) for part, pairs in known.items()}
            widest = max(float(np.quantile(np.abs(values), 0.99)) for values in errors.values()) or 1.0
            for part, pairs in known.items():
                axis.plot(*pairs.T, ".", color=colours[part], markersize=2, alpha=0.4, rasterized=True, zorder=2)
                bins = np.linspace(-widest, widest, 61)
                below.hist(errors[part], bins, density=True, histtype="step", color=colours[part], label=part)
            shown = sum(len(pairs) for pairs in known.values())
            seen = sum(sample.seen[name] for sample in samples.values())
            of_all = f", {shown} of {seen}" if shown < seen else ""
            axis.set(title=f"{name}{of_all}", xlabel=f"label ({unit})", ylabel=f"prediction ({unit})")
            below.set(xlabel=f"error ({quantity.shown_unit}), 99 % of them", yticks=[], yscale="log")
        if len(samples) > 1:
            axes[1][0].legend()
    save(figure, path)
