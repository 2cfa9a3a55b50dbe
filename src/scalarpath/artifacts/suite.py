"""All measures of one calculator, one after another; a measure that fails does not lose the others."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.measure import Measure, Measurement, Progress
from scalarpath.artifacts.registry import measures
from scalarpath.artifacts.rows import Row
from scalarpath.core.errors import ScalarPathError


@dataclass(frozen=True)
class Outcome:
    """What became of one measure.

    measurement: None where it was skipped or failed; rows: of the table; skipped: why it does not apply to the
    material, or empty; error: one line, or empty; details: traceback of an error; wall_s: time it took.
    """

    measure: Measure[Any]
    measurement: Measurement | None = None
    rows: list[Row] = field(default_factory=list)
    skipped: str = ""
    error: str = ""
    details: str = ""
    wall_s: float = 0.0

    @property
    def name(self) -> str:
        """Of the measure."""
        return self.measure.name


def run_suite(
    bench: Bench,
    settings: Mapping[str, Any],
    names: Sequence[str],
    progress: Progress | None = None,
    trajectories: Path | None = None,
) -> Iterator[Outcome]:
    """Outcomes of the named measures (see ``registry.measures``), each as soon as it is there.

    settings: by section, see ``registry.measure_settings``; trajectories: an existing folder that keeps those of the
    dynamics.
    """
    for name in names:
        reasons = {measure: measure.unsuitable(bench, settings[measure.section]) for measure in measures(name)}
        suitable = [measure for measure, reason in reasons.items() if not reason]
        if not suitable:
            measure, reason = list(reasons.items())[-1]
            yield Outcome(measure, skipped=reason)
            continue
        measure, started = suitable[0], time.perf_counter()
        try:
            measurement = measure.measure(bench, settings[measure.section], progress or _silent, trajectories)
            rows = list(measure.rows(measurement, bench))
        except Exception as error:  # a foreign calculator may raise anything, and the other measures are still to come
            text = (str(error).strip().splitlines() or [""])[0]
            line = text if isinstance(error, ScalarPathError) else f"{type(error).__name__}: {text}"
            wall_s = time.perf_counter() - started
            yield Outcome(measure, error=line, details=traceback.format_exc(), wall_s=wall_s)
        else:
            yield Outcome(measure, measurement, rows, wall_s=time.perf_counter() - started)


def _silent(_what: str, _done: int, _total: int) -> None:
    pass
