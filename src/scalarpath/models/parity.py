"""Predictions against labels in a figure, from a sample of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.artifacts.figures import MODEL, REFERENCE, STYLE, panels, save
from scalarpath.core.quantities import QUANTITIES
from scalarpath.training.residuals import residual

POINTS = 20_000  # of every quantity


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
        """Write ``path`` with the suffixes .svg and .png: one panel for every quantity with labels."""
        import matplotlib

        names = [name for name in QUANTITIES if self.seen[name]]
        with matplotlib.rc_context(STYLE):
            figure, axes = panels(1, len(names))
            for axis, name in zip(axes[0], names, strict=True):
                label, predicted = self.pairs(name).T
                ends = min(label.min(), predicted.min()), max(label.max(), predicted.max())
                axis.plot(ends, ends, color=REFERENCE, linewidth=0.8, zorder=1)
                axis.plot(label, predicted, ".", color=MODEL, markersize=2, alpha=0.4, rasterized=True, zorder=2)
                unit = QUANTITIES[name].unit.replace("A", "Å").replace("^3", "³")
                of_all = f", {len(label)} of {self.seen[name]}" if len(label) < self.seen[name] else ""
                axis.set(title=f"{name}{of_all}", xlabel=f"label ({unit})", ylabel=f"prediction ({unit})")
        save(figure, path)
