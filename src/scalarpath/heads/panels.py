"""Pictures of what a head has learned, as plain numbers: whoever draws them needs to know no part of a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_BINS, LEAST_PER_BIN = 12, 20
BAND = (10.0, 90.0)  # percentiles of the values in a bin, which are shown around their median


@dataclass(frozen=True)
class Curve:
    """A line y(x), with a band from low to high where there is one.

    colour: number of its colour, the same for what belongs together; dashed: it is there for comparison.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves over one axis.

    shows: what is to be seen, in a sentence; identity: y of a part that does nothing; logarithmic: the y axis; span:
    the range of x that is shaded.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    shows: str
    identity: float | None = None
    logarithmic: bool = False
    span: tuple[float, float] | None = None


def binned(label: str, x: np.ndarray, values: np.ndarray, colour: int, *, dashed: bool = False) -> Curve:
    """Medians of values [n] or [n, any] over x [n], in bins of equal numbers of points, and their band; n > 0."""
    order = np.argsort(x, kind="stable")
    bins = np.array_split(order, max(1, min(MOST_BINS, len(x) // LEAST_PER_BIN)))
    low, middle, high = (
        [float(np.nanpercentile(values[chosen], percent)) for chosen in bins] for percent in (BAND[0], 50.0, BAND[1])
    )
    return Curve(label, [float(x[chosen].mean()) for chosen in bins], middle, low, high, colour, dashed)
