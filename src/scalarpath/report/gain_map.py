"""Where a head pays: its effect against everything in which the runs differ, one thing at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial

import numpy as np

from scalarpath.core.settings import flat
from scalarpath.report.cells import BASELINE, BUDGET, FRAMES, FREE, SIZE, Cell
from scalarpath.report.effects import Effect
from scalarpath.report.ladders import AXES

Place = float | str
"""Where a cell stands on an axis: a number, or the name of a category."""
Facts = Mapping[str, str]
"""What decides the numbers of a cell apart from head and seed, by setting; those that are null are absent."""
_LABELS = {"num_channels": "channels", "cutoff": "cutoff (Å)"}


@dataclass(frozen=True)
class GainLine:
    """Effects of one head against baseline, in cells that differ in one thing and in nothing else.

    ``axis`` is that thing: budget, frames, size, backbone, data (the material), or a setting of the backbone such as
    cutoff; ``label`` is shown for it. ``name`` says what the cells share. ``points``: place on the axis and effects by
    quantity, in rising order.
    """

    axis: str
    label: str
    name: str
    arm: str
    points: tuple[tuple[Place, dict[str, Effect]], ...]


@dataclass(frozen=True)
class _Axis:
    """``free``: whether a fact may differ between the cells of a line."""

    name: str
    label: str
    place: Callable[[Cell], Place]
    free: Callable[[str], bool]


_CATEGORIES: tuple[tuple[str, str, tuple[str, ...], Callable[[str], bool]], ...] = (
    ("backbone", "backbone", (SIZE,), lambda fact: fact.startswith("backbone.") and fact != "backbone.cutoff"),
    ("data", "data set", (FRAMES,), lambda fact: fact.startswith("data.") or fact == FRAMES),
)
"""What of a cell is a category, its label, the terms that belong to it, and the facts that come with it."""


def gain_lines(cells: Sequence[Cell], effects: Sequence[Effect]) -> list[GainLine]:
    """All lines of two points or more, axis by axis; a cell may be on several."""
    facts = [_facts(cell) for cell in cells]
    against: dict[tuple[tuple[str, str, str], str], dict[str, Effect]] = {}
    for effect in effects:
        if (effect.reference, effect.statistic) == (BASELINE, "mae"):
            against.setdefault((effect.place, effect.arm), {})[effect.prop] = effect
    found = []
    for axis, group in _groups(cells, facts):
        for arm in dict.fromkeys(arm for cell in group for arm in cell.arms):
            points = [(axis.place(cell), against.get((cell.place, arm), {})) for cell in group]
            known = tuple(point for point in points if point[1])
            if len({place for place, _ in known}) > 1:
                found.append(GainLine(axis.name, axis.label, _name(group, cells, facts), arm, known))
    return found


def _facts(cell: Cell) -> Facts:
    run = cell.runs()[0]
    free = (*FREE, "output_dir", "data.train_size")  # the number of train frames is a fact, however it came about
    settings = {key: value for key, value in flat(run.config).items() if value is not None}
    kept = {key: json.dumps(value) for key, value in settings.items() if not any(fnmatch(key, each) for each in free)}
    return kept | {FRAMES: str(len(run.splits["train"]))}


def _groups(cells: Sequence[Cell], facts: Sequence[Facts]) -> Iterator[tuple[_Axis, list[Cell]]]:
    """Cells in rising order that differ in one thing, with the axis of that."""
    yield from _along(_ladder_axis(BUDGET, lambda fact: fact == "trainer.max_epochs"), cells, facts)
    yield from _along(_ladder_axis(FRAMES, lambda fact: fact == FRAMES), cells, facts)
    by_setting = [found for key in _numbers(facts) for found in _along(_setting_axis(key), cells, facts)]
    yield from by_setting
    # networks that differ in several settings at once still have a number of parameters
    told = {cell.place for _, group in by_setting for cell in group}
    size = _ladder_axis(SIZE, lambda fact: fact.startswith("backbone.") and fact != "backbone.kind")
    for axis, group in _along(size, cells, facts):
        if any(cell.place not in told for cell in group):
            yield axis, group
    for what, label, terms, free in _CATEGORIES:
        axis = _Axis(what, label, partial(_category, what=what, terms=terms), free)
        for found in _along(axis, cells, facts):
            if len({getattr(cell, what) for cell in found[1]}) > 1:
                yield found


def _along(axis: _Axis, cells: Sequence[Cell], facts: Sequence[Facts]) -> Iterator[tuple[_Axis, list[Cell]]]:
    """Groups of cells that differ in the free facts of an axis alone, each of its own place on it."""
    groups: dict[frozenset[tuple[str, str]], list[Cell]] = {}
    for cell, own in zip(cells, facts, strict=True):
        shared = frozenset((fact, value) for fact, value in own.items() if not axis.free(fact))
        groups.setdefault(shared, []).append(cell)
    for group in groups.values():
        known = [cell for cell in group if axis.place(cell) == axis.place(cell)]  # not NaN
        if len({axis.place(cell) for cell in known}) > 1:
            yield axis, sorted(known, key=axis.place)


def _ladder_axis(name: str, free: Callable[[str], bool]) -> _Axis:
    axis = AXES[name]
    return _Axis(name, axis.label, lambda cell: float(np.mean([axis.of(run) for run in cell.runs()])), free)


def _numbers(facts: Sequence[Facts]) -> list[str]:
    """Settings of the backbone that are numbers and differ."""
    found = []
    for key in dict.fromkeys(fact for own in facts for fact in own if fact.startswith("backbone.")):
        values = {own[key] for own in facts if key in own}
        if len(values) > 1 and all(isinstance(json.loads(value), int | float) for value in values):
            found.append(key.removeprefix("backbone."))
    return found


def _setting_axis(key: str) -> _Axis:
    def place(cell: Cell) -> float:
        value = cell.runs()[0].config["backbone"].get(key)
        return math.nan if value is None else float(value)  # other backbones do not have it

    return _Axis(key, _LABELS.get(key, key.replace("_", " ")), place, lambda fact: fact == f"backbone.{key}")


def _category(cell: Cell, what: str, terms: Sequence[str]) -> str:
    """Data set or backbone of a cell, with those of its terms that part it from others of the same."""
    return ", ".join([getattr(cell, what), *(cell.parting[term] for term in terms if cell.parting.get(term))])


def _name(group: Sequence[Cell], cells: Sequence[Cell], facts: Sequence[Facts]) -> str:
    """What the cells of a line share, as far as others do not have it."""
    first = group[0]
    places = [getattr(first, what) for what in ("data", "backbone") if len({getattr(c, what) for c in group}) == 1]
    terms = [
        text
        for term, text in first.parting.items()
        if term in (BUDGET, FRAMES) and all(cell.parting.get(term) == text for cell in group)
    ]
    of_group = [own for cell, own in zip(cells, facts, strict=True) if cell in group]
    beside = [own for cell, own in zip(cells, facts, strict=True) if cell.place[:2] in {c.place[:2] for c in group}]
    for fact, value in of_group[0].items():
        shared = fact.startswith("backbone.") and all(own.get(fact) == value for own in of_group)
        if shared and any(own.get(fact) != value for own in beside):
            terms.append(f"{fact.removeprefix('backbone.')} {json.loads(value)}")
    return ", ".join([" × ".join(places), *terms] if places else terms)
