"""Rows of the table of results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

NO_REFERENCE = "no reference: model only"


@dataclass(frozen=True)
class Row:
    """One quantity of a measure: its value and what it is compared with.

    key: name with unit, under which summaries hold the value of the model; quantity, unit: as shown; model, reference:
    values, NaN where unknown; error: model minus reference or, where ``relative``, model over reference minus one, a
    fraction; low, high: 95 % interval of the error, or of the model's value where there is no error; note: what to know
    when reading the row.
    """

    key: str
    quantity: str
    unit: str
    model: float
    reference: float = math.nan
    error: float = math.nan
    relative: bool = False
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    def summary(self) -> dict[str, float]:
        """What is known of it: the value under ``key``, the error under ``<key>_error`` or ``<key>_relative_error``."""
        values = {"": self.model, "_relative_error" if self.relative else "_error": self.error}
        return {f"{self.key}{end}": value for end, value in values.items() if math.isfinite(value)}


def compared(key: str, quantity: str, unit: str, model: float, reference: float, **more: Any) -> Row:
    """A row with the error that follows from model and reference."""
    error = model / reference - 1 if more.get("relative") else model - reference
    return Row(key, quantity, unit, model, reference, error, **more)
