"""Cells: runs of one data set and backbone on equal terms, which differ in head and seed and in nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from scalarpath.core.errors import ReportError
from scalarpath.core.settings import flat
from scalarpath.data.config import PLACES
from scalarpath.report.runs import Run
from scalarpath.runs.identity import NO_NUMBER

BASELINE = "baseline"
FREE = (
    "head.*", "seed", *NO_NUMBER, *(f"{group}.*" for group in NO_NUMBER), "trainer.threads",
    *(f"data.{place}" for place in PLACES), "data.eval_batch_size",
)  # fmt: skip
"""Settings that may differ: the arm, the seed, where and how output is written, what is measured besides, and where the
data lie (what they are is compared by their hash and split)."""


BUDGET, FRAMES, SIZE = "budget", "frames", "size"
PARTING = ("trainer.max_epochs", "data.train_size", "backbone.*")
"""Settings that make cells of their own: runs with different ones are never compared, but drawn over them."""


class Placed:
    """What is said of one cell: its data set, the kind of its backbone and its terms.

    ``terms`` are what parts it from other cells of the same backbone, such as ``160 epochs``; empty where there is
    nothing. Effects on several data sets are pooled where the terms are the same.
    """

    data: str
    backbone: str
    terms: str

    @property
    def place(self) -> tuple[str, str, str]:
        """The same for all that belongs to one cell."""
        return self.data, self.backbone, self.terms

    @property
    def model(self) -> str:
        """Backbone and terms, shown."""
        return ", ".join(filter(None, (self.backbone, self.terms)))

    @property
    def name(self) -> str:
        """Shown."""
        return f"{self.data} × {self.model}"


@dataclass(frozen=True)
class Cell(Placed):
    """Comparable runs: ``arms[arm][seed]``, baseline first.

    ``parting`` has what the terms are made of, by BUDGET, FRAMES and SIZE (settings of the backbone): only what differs
    between the cells of one backbone, frames between those of one data set, which has its own number of them.
    """

    data: str
    backbone: str
    terms: str
    arms: dict[str, dict[int, Run]]
    parting: dict[str, str]

    @property
    def part(self) -> str:
        """The part of the data whose errors are compared, the same for all runs."""
        return self.runs()[0].part

    def runs(self) -> list[Run]:
        """All of them, by arm and seed."""
        return [run for seeds in self.arms.values() for run in seeds.values()]

    def common_seeds(self, arm: str, reference: str) -> list[int]:
        """Seeds that two arms both have: the pairs."""
        return sorted(self.arms[arm].keys() & self.arms[reference].keys())


def cells_of(runs: Sequence[Run]) -> list[Cell]:
    """Sort runs into cells, by name, then from short to long trainings, few to many frames, small to large backbones.

    Raises ReportError where runs of one data set and backbone differ in data, split, device or any setting that is not
    free and makes no cell of its own, where runs of one arm differ in their head, and where two runs have the same
    cell, arm and seed.
    """
    cells: list[Cell] = []
    for data, backbone in sorted({(run.data, run.backbone) for run in runs}):
        alike = [run for run in runs if run.backbone == backbone]
        inside = [run for run in alike if run.data == data]
        for run in inside[1:]:
            _same_terms(inside[0], run)
        for arm in {run.arm for run in inside}:
            _same_head([run for run in inside if run.arm == arm])
        cells += _cells_of_one_place(inside, alike)
    return cells


def _cells_of_one_place(runs: Sequence[Run], alike: Sequence[Run]) -> list[Cell]:
    """Cells of one data set and backbone; ``alike``: the runs of this backbone on all data sets."""
    shared = set.intersection(*(set(backbone_settings(run)) for run in alike))
    groups: dict[tuple[int, int, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.number("parameters/total")):
        size = ", ".join(f"{key} {value}" for key, value in backbone_settings(run) if (key, value) not in shared)
        groups.setdefault((run.epochs, len(run.splits["train"]), size), []).append(run)
    order = list(dict.fromkeys(size for _, _, size in groups))
    cells = []
    for epochs, frames, size in sorted(groups, key=lambda key: (*key[:2], order.index(key[2]))):
        inside = sorted(groups[epochs, frames, size], key=lambda run: run.path)
        for run in inside[1:]:
            _same_frames(inside[0], run, "train")
        said = {BUDGET: f"{epochs} epochs", FRAMES: f"{frames} train frames", SIZE: size}
        varies = len({run.epochs for run in alike}) > 1, len({key[1] for key in groups}) > 1, bool(size)
        parting = {key: text for (key, text), yes in zip(said.items(), varies, strict=True) if yes}
        names = sorted({run.arm for run in inside}, key=lambda name: (name != BASELINE, name))
        arms = {name: _by_seed(run for run in inside if run.arm == name) for name in names}
        terms = ", ".join(filter(None, parting.values()))
        cells.append(Cell(inside[0].data, inside[0].backbone, terms, arms, parting))
    return cells


def backbone_settings(run: Run) -> list[tuple[str, str]]:
    """The settings of the backbone; null means off, as in a run that is older than the setting."""
    settings = flat(run.config.get("backbone") or {})
    return sorted((key, json.dumps(value).strip('"')) for key, value in settings.items() if value is not None)


def _same_terms(first: Run, other: Run) -> None:
    """Refuse two runs of one data set and backbone that differ in more than what makes cells."""
    both = f"{first.path} and {other.path} are both {first.data} × {first.backbone}"
    choose = "choose with runs=[...]"
    if first.provenance["data_hash"] != other.provenance["data_hash"]:
        raise ReportError(f"{both} but trained on different data (data_hash in provenance.json); {choose}.")
    _same_settings(first, other, lambda key: any(fnmatch(key, free) for free in (*FREE, *PARTING)), both)
    for part in ("valid", "test"):
        _same_frames(first, other, part)
    devices = [str(run.summary.get("device", "cpu")).split(":")[0] for run in (first, other)]
    if devices[0] != devices[1]:
        raise ReportError(f"{both} but ran on different devices ({' and '.join(devices)} in summary.json); {choose}.")


def _same_frames(first: Run, other: Run, part: str) -> None:
    if first.splits[part] != other.splits[part]:
        raise ReportError(
            f"{first.path} and {other.path} are both {first.data} × {first.backbone} but have different {part} frames "
            "(splits.json); choose with runs=[...]."
        )


def _same_head(runs: Sequence[Run]) -> None:
    """Refuse runs of one arm whose heads have different settings."""
    for run in runs[1:]:
        both = f"{runs[0].path} and {run.path} are both {run.data} × {run.backbone} × {run.arm}"
        _same_settings(runs[0], run, lambda key: not key.startswith("head."), both)


def _same_settings(first: Run, other: Run, is_free: Callable[[str], bool], both: str) -> None:
    """Refuse two runs that differ in a setting that is not free; absent and null both mean off."""
    for key, pair in _differing(first, other).items():
        if not is_free(key):
            values = ["null" if value is None else str(value) for value in pair]
            raise ReportError(
                f"{both} but differ in {key} ({' and '.join(values)} in config.yaml); "
                f"choose with where={{{key}:{values[0]}}} or runs=[...]."
            )


def _differing(first: Run, other: Run) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, by dotted key, but for the place of output; absent and null both mean off."""
    one, two = flat(first.config), flat(other.config)
    keys = sorted((one.keys() | two.keys()) - {"output_dir"})
    return {key: (one.get(key), two.get(key)) for key in keys if one.get(key) != two.get(key)}


def _by_seed(runs: Iterable[Run]) -> dict[int, Run]:
    """Runs of one arm by seed."""
    found: dict[int, Run] = {}
    for run in runs:
        if run.seed in found:
            keys = ", ".join(_differing(found[run.seed], run)) or "no setting"
            raise ReportError(
                f"{found[run.seed].path} and {run.path} are both {run.data} × {run.backbone} × {run.arm} with seed "
                f"{run.seed}, and differ in {keys}; choose one with runs=[...]."
            )
        found[run.seed] = run
    return dict(sorted(found.items()))
