"""What a measure is: one physical artifact with its settings, computation, rows, figure and claim."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from scalarpath.artifacts.rows import Row
from scalarpath.core.figures import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scalarpath.artifacts.bench import Bench

Settings = TypeVar("Settings")
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is in all (0: not known)."""


@dataclass(frozen=True)
class Claim:
    """What the paper claims of an artifact: that the head makes it smaller.

    text: the claim; size: what is compared per run, in words; keys: regular expression that the whole key of a row
    matches whose number counts; value: which number of the row, an error or, where it should be zero, the model's own;
    over_rows: makes one number of the absolute values.
    """

    text: str
    size: str
    keys: str
    value: Literal["error", "model"]
    over_rows: Callable[[Sequence[float]], Any]

    def counts(self, row: Row) -> bool:
        """Whether the claim is about this row."""
        return re.fullmatch(self.keys, row.key) is not None


@dataclass(frozen=True)
class Measurement:
    """Result dataclasses by name (``model``, ``reference``, ``comparison``, ...), and the settings that were used."""

    results: dict[str, Any]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """What a report draws of a run beside the same of other runs.

    panel: title of the axes it belongs to; x: [points]; y: [points] or [points, lines], NaN where not known;
    is_reference: whether it is what the model should give; ticks: places and names on the x axis, where numbers would
    say nothing.
    """

    panel: str
    x_label: str
    y_label: str
    x: np.ndarray
    y: np.ndarray
    is_reference: bool
    ticks: Mapping[float, str] | None = None


class Measure(ABC, Generic[Settings]):
    """One artifact. A subclass says what it is called, what can be set, and how it is measured and shown."""

    name: ClassVar[str]
    """Of its files and of its keys in summaries."""
    settings: type[Settings]
    """Dataclass of what can be set, with types and ranges in the annotations; the values stand in conf/size/*.yaml."""
    section: ClassVar[str]
    """Of the settings in conf/size/*.yaml; the name where nothing else is said."""
    for_crystals: ClassVar[bool] = True
    for_molecules: ClassVar[bool] = True
    claim: ClassVar[Claim | None] = None
    charts: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Bar charts of the dashboard: title, and key of the row that is shown."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "section" not in cls.__dict__:
            cls.section = cls.name

    def unsuitable(self, bench: Bench, settings: Settings) -> str:
        """Why there is nothing to measure on this bench, in a few words; empty where there is."""
        item = bench.material
        kinds = {"crystal": (item.is_crystal, self.for_crystals), "molecule": (item.is_molecule, self.for_molecules)}
        for kind, (is_this, wanted) in kinds.items():
            if is_this:
                return "" if wanted else f"{item.name} is a {kind}"
        return "" if self.for_crystals and self.for_molecules else f"{item.name} is periodic in some directions only"

    @abstractmethod
    def measure(self, bench: Bench, settings: Settings, progress: Progress, trajectories: Path | None) -> Measurement:
        """Measure the calculator of the bench; ``trajectories``: a folder that keeps those of the dynamics."""

    @abstractmethod
    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """Lines of the table."""

    def figure(self, measurement: Measurement) -> Figure | None:
        """A figure, where there is something to draw."""
        return None

    def curves(self, results: Mapping[str, Any]) -> Iterator[Curve]:
        """What a report draws of many runs together; ``results``: those of the measure's file, null where not known."""
        return iter(())

    def has_figure(self) -> bool:
        """Whether this kind of measure can draw one."""
        return type(self).figure is not Measure.figure


def drawn(measure: Measure[Any], measurement: Measurement) -> Figure | None:
    """The figure of a measure in this style; None where it has none."""
    if not measure.has_figure():
        return None
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return measure.figure(measurement)
