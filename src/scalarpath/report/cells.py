"""Cells: the runs of one data set and backbone, which differ in head and seed and in nothing else."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Cell:
    """Comparable runs: ``arms[arm][seed]``, baseline first."""

    data: str
    backbone: str
    arms: dict[str, dict[int, Run]]

    @property
    def name(self) -> str:
        """Shown."""
        return f"{self.data} × {self.backbone}"

    def runs(self) -> list[Run]:
        """All of them, by arm and seed."""
        return [run for seeds in self.arms.values() for run in seeds.values()]

    def common_seeds(self, arm: str, reference: str) -> list[int]:
        """Seeds that two arms both have: the pairs."""
        return sorted(self.arms[arm].keys() & self.arms[reference].keys())


def cells_of(runs: Sequence[Run]) -> list[Cell]:
    """Sort runs into cells, by name.

    Raises ReportError where runs of one cell differ in data, split, device or any setting that is not free, where runs
    of one arm differ in their head, and where two runs have the same cell, arm and seed.
    """
    cells = []
    for data, backbone in sorted({(run.data, run.backbone) for run in runs}):
        inside = [run for run in runs if (run.data, run.backbone) == (data, backbone)]
        for run in inside[1:]:
            _same_terms(inside[0], run)
        names = sorted({run.arm for run in inside}, key=lambda name: (name != BASELINE, name))
        cells.append(Cell(data, backbone, {name: _by_seed(run for run in inside if run.arm == name) for name in names}))
    return cells


def _same_terms(first: Run, other: Run) -> None:
    """Refuse two runs of one cell that were not made on equal terms."""
    both = f"{first.path} and {other.path} are both {first.data} × {first.backbone}"
    choose = "choose with runs=[...]"
    if first.provenance["data_hash"] != other.provenance["data_hash"]:
        raise ReportError(f"{both} but trained on different data (data_hash in provenance.json); {choose}.")
    _same_settings(first, other, lambda key: any(fnmatch(key, free) for free in FREE), both)
    for part in ("train", "valid", "test"):
        if first.splits[part] != other.splits[part]:
            raise ReportError(f"{both} but have different {part} frames (splits.json); {choose}.")
    devices = [str(run.summary.get("device", "cpu")).split(":")[0] for run in (first, other)]
    if devices[0] != devices[1]:
        raise ReportError(f"{both} but ran on different devices ({' and '.join(devices)} in summary.json); {choose}.")


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
        for earlier in found.values():
            both = f"{earlier.path} and {run.path} are both {run.data} × {run.backbone} × {run.arm}"
            _same_settings(earlier, run, lambda key: not key.startswith("head."), both)
        found[run.seed] = run
    return dict(sorted(found.items()))
