"""A table of a report as text, and how numbers stand in it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNKNOWN = "–"


@dataclass(frozen=True)
class Table:
    """Columns named in ``text_columns`` are text (left), the others numbers (right)."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text_columns: tuple[str, ...] = ()
    note: str = ""


def number(value: float) -> str:
    """Four digits."""
    return UNKNOWN if math.isnan(value) else f"{value:.4g}"


def mean_and_spread(values: Sequence[float], most: int) -> str:
    """Mean ± standard deviation, and the number of values where it is less than ``most``."""
    if not values:
        return UNKNOWN
    deviation = np.std(values, ddof=1) if len(values) > 1 else math.nan
    spread = "" if math.isnan(deviation) else f" ± {deviation:.2g}" if deviation < 99.5 else f" ± {deviation:.0f}"
    return f"{np.mean(values):.4g}{spread}" + (f" ({len(values)})" if len(values) < most else "")


def p_value(p: float) -> str:
    """Two digits."""
    return UNKNOWN if math.isnan(p) else f"{p:.2g}"


def with_minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)
