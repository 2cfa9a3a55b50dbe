"""Errors of single test frames, summed over the groups that a split keeps together."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass

import numpy as np

from scalarpath.core.errors import ReportError
from scalarpath.core.metrics import TEST, labels_name, metric_name
from scalarpath.core.quantities import PRIMARY_FIRST, Quantity
from scalarpath.report.runs import Run

FILE = "test_frames.csv"
TOLERANCE = 1e-3  # relative, between the total of the frames and the summary: the file is rounded


@dataclass(frozen=True)
class GroupErrors:
    """Errors of the test frames of a run, added up over groups.

    ``frames`` holds (frame, group) of every test frame, ``groups`` the names of the G groups. ``errors`` holds for each
    quantity with labels the sums [G] of weight x absolute error over the labelled frames; the weight of a frame is its
    number of labelled atoms for quantities of atoms (forces), else 1.
    """

    frames: tuple[tuple[str, str], ...]
    groups: tuple[str, ...]
    errors: dict[str, np.ndarray]


def read_group_errors(run: Run) -> GroupErrors | None:
    """Errors of a run by group; None where it has no test_frames.csv.

    Raises ReportError where the frames do not add up to the test errors of summary.json.
    """
    path = run.path / FILE
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["group"] for row in rows})
    place = {name: index for index, name in enumerate(names)}
    index = np.array([place[row["group"]] for row in rows])
    errors = {}
    for quantity in PRIMARY_FIRST:
        prop, column = quantity.name, metric_name(quantity.name, quantity.frame_columns[0])
        values = np.array([abs(float(row[column])) if row[column] else math.nan for row in rows])
        labelled = np.isfinite(values)
        if not labelled.any():
            continue
        weights = np.where(labelled, [_weight(row, quantity) for row in rows], 0.0)
        weighted = weights * np.where(labelled, values, 0.0)
        total, expected = weighted.sum() / weights.sum(), run.error(prop, TEST)
        if not math.isclose(total, expected, rel_tol=TOLERANCE):
            raise ReportError(
                f"{path}: the frames have a {prop} MAE of {total:.6g}, but summary.json says {expected:.6g} "
                f"{quantity.shown_unit}; the run is damaged, leave it out with runs=[...]."
            )
        errors[prop] = np.bincount(index, weights=weighted, minlength=len(names))
    frames = tuple((row["frame"], row["group"]) for row in rows)
    return GroupErrors(frames, tuple(names), errors)


def _weight(row: dict[str, str], quantity: Quantity) -> float:
    """Labelled atoms of a frame (fractions where some components have none), of quantities of atoms; else 1.

    Files of before the number of labels was written have a label for every atom, or do not add up.
    """
    if not quantity.of_atoms:
        return 1.0
    labels = row.get(labels_name(quantity.name))
    return float(row["atoms"]) if labels is None else float(labels or 0) / math.prod(quantity.shape)
