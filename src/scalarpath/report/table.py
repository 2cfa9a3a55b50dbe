"""A table of a report as text, and how numbers stand in it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

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


def p_value(p: float) -> str:
    """Two digits."""
    return UNKNOWN if math.isnan(p) else f"{p:.2g}"


def with_minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "−", text)
