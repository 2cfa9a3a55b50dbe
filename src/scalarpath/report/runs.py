"""Run directories, found and read."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalarpath.core.errors import CheckpointError, ConfigError, ReportError
from scalarpath.core.metrics import PARTS, TEST, VALIDATION, closed_test_part, metric_name
from scalarpath.core.overrides import setting
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.settings import flat
from scalarpath.runs.job import stored_config
from scalarpath.runs.run_directory import RunDirectory

NAMES = {"data": "data.name", "backbone": "backbone.kind", "head": "head.name"}
"""Short names of settings in ``where``."""
NEEDED = {
    "summary": ("data", "backbone", "head", "seed"),
    "provenance": ("data_hash",),
    "splits": ("train", "valid", "test"),
}
"""Files of a run that a comparison needs, and the keys without which it cannot be made."""


@dataclass(frozen=True)
class Run:
    """A finished run: its directory and what it holds; ``part``: that whose errors are compared."""

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any]
    provenance: dict[str, Any]
    splits: dict[str, Any]
    part: str = TEST

    @property
    def data(self) -> str:
        """Name of the data set."""
        return str(self.summary["data"])

    @property
    def backbone(self) -> str:
        """Kind of the backbone."""
        return str(self.summary["backbone"])

    @property
    def arm(self) -> str:
        """Name of the head."""
        return str(self.summary["head"])

    @property
    def seed(self) -> int:
        """Of weights and data order."""
        return int(self.summary["seed"])

    @property
    def epochs(self) -> int:
        """That it was to be trained, the budget; early stopping may have ended it before."""
        return int(self.config["trainer"]["max_epochs"])

    @property
    def revision(self) -> str:
        """Short git commit, with + where there were local changes; ``unknown`` outside a checkout."""
        git = self.provenance.get("git")
        return "unknown" if git is None else git["commit"][:7] + ("+" if git["dirty"] else "")

    def number(self, key: str) -> float:
        """A number of summary.json; NaN where it is absent."""
        value = self.summary.get(key)
        return math.nan if value is None else float(value)

    @property
    def is_closed(self) -> bool:
        """Whether its test part was left closed (``evaluate_test=false``)."""
        return closed_test_part(self.summary, self.config["evaluate_test"])

    def error(self, prop: str, part: str | None = None, statistic: str = "mae") -> float:
        """Error of the best epoch in meV units on ``part``, or on that which is compared.

        NaN without labels, or where an older run does not tell it.
        """
        return self.number(f"{PARTS[part or self.part]}/{metric_name(prop, statistic)}")

    def learning_curve(self, prop: str) -> tuple[list[int], list[float]]:
        """Epochs, and validation MAEs in meV units (NaN where absent)."""
        file = self.path / "metrics.csv"
        if not file.is_file():
            raise ReportError(f"{file} is missing; the run is damaged, leave it out with runs=[...].")
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        column = f"val/{metric_name(prop)}"
        return [int(row["epoch"]) for row in rows], [float(row.get(column) or "nan") for row in rows]


@dataclass(frozen=True)
class Unfinished:
    """A run that cannot be compared, and why."""

    path: Path
    reason: str


def parts_shown(part: str) -> list[str]:
    """The parts whose errors stand in a report that compares those on ``part``: test errors only beside each other."""
    return [each for each in PARTS if part == TEST or each != TEST]


def listed(parts: Sequence[str]) -> str:
    """In words: ``train, validation and test``."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def mae_of(prop: str, part: str) -> str:
    """What is compared, in words: ``force MAE`` on test frames, else for example ``validation force MAE``."""
    return f"{'' if part == TEST else f'{part} '}{QUANTITIES[prop].noun} MAE"


def comparing(runs: Sequence[Run], part: str | None, *, claims: bool = False) -> list[Run]:
    """The runs, to be compared by their errors on ``part``; None: on test, or validation where a test part is closed.

    Raises ReportError where a test part is closed that ``part`` or ``claims`` need, or where no run tells such errors.
    """
    closed = next((run for run in runs if run.is_closed), None)
    if closed is not None and (part == TEST or claims):
        raise ReportError(
            f"{closed.path}: the test part of this run is closed (evaluate_test=false); once, for a final claim, open "
            f"it with evaluate.py {setting('run', closed.path)}, or compare with part=validation and without claims=."
        )
    part = part or (TEST if closed is None else VALIDATION)
    chosen = [replace(run, part=part) for run in runs]
    if part != TEST and not any(run.error(prop) >= 0 for run in chosen for prop in QUANTITIES):
        raise ReportError(
            f"part={part}: no run tells its errors on {part} frames ({PARTS[part]}/... in summary.json), as runs of "
            "older versions and those with evaluate_train_frames=0 do not; choose another part."
        )
    return chosen


def find_runs(places: Sequence[str], where: Mapping[str, Any]) -> tuple[list[Run], list[Unfinished]]:
    """Finished runs under ``places`` that ``where`` selects, and the unfinished ones, in the order of their paths.

    Raises ConfigError for a place or a key of ``where`` that does not exist, ReportError where nothing is left.
    """
    finished: list[Run] = []
    unfinished: list[Unfinished] = []
    wanted = {NAMES.get(key, key): value for key, value in flat(where).items()}
    known: set[str] = set()
    for path in _run_directories(places):
        directory = RunDirectory(path)
        try:
            config = stored_config(path)
            settings = flat(config)
            known |= set(settings)
            if not all(_selected(settings.get(key), value) for key, value in wanted.items()):
                continue
            reason = _why_unfinished(directory)
            if reason is None:
                directory.check_results()
                files = (directory.read_json(f"{name}.json", keys) for name, keys in NEEDED.items())
                summary, record, splits = files
                finished.append(Run(path, config, summary, record, splits))
        except CheckpointError as error:
            reason = str(error).removesuffix(".")
        if reason is not None:
            unfinished.append(Unfinished(path, reason))
    if known and (unknown := [key for key in wanted if key not in known]):
        raise ConfigError(f"where: no run has the setting '{unknown[0]}'; use the keys of config.yaml, with dots.")
    if not finished:
        chosen = " that where= selects" if wanted else ""
        raise ReportError(
            f"runs={', '.join(places)}: no finished run{chosen} is there ({len(unfinished)} unfinished); "
            "name directories of finished runs."
        )
    return finished, unfinished


def _run_directories(places: Sequence[str]) -> Iterator[Path]:
    """Every directory with a configuration and a status or summary, once, whatever its name."""
    seen = set()
    for place in places:
        root = Path(place)
        if not root.is_dir():
            raise ConfigError(f"runs={place}: there is no such directory.")
        for file in sorted(root.rglob("config.yaml")):
            path = file.parent
            is_run = (path / "summary.json").is_file() or (path / "status.json").is_file()
            if is_run and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _why_unfinished(directory: RunDirectory) -> str | None:
    if not directory.is_finished:
        status = directory.read_json("status.json")
        error = status.get("error")
        return f"{directory.state}: {error}" if error else directory.state
    if directory.read_json("summary.json").get("stopped_by") == "max_time":
        return "stopped by trainer.max_time before its last epoch"
    return None


def _selected(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, list | tuple) else value == wanted
