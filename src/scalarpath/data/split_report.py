"""What a split is: which keys it puts where, and how near its test frames are to its train frames."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from scalarpath.core.errors import ConfigError
from scalarpath.core.files import prepare_place, refuse_foreign
from scalarpath.core.terminal import add_columns
from scalarpath.data.config import DataConfig
from scalarpath.data.e0s import isolated_atom_frames
from scalarpath.data.fingerprints import fingerprints
from scalarpath.data.groups import frame_groups
from scalarpath.data.near_duplicates import NearestPair, near_duplicate_threshold, nearest_pairs
from scalarpath.data.reading import Frame
from scalarpath.data.sources import load_dataset
from scalarpath.data.splits import Splits, split_frames


class KeyRow(NamedTuple):
    """One key of a grouped split; ``group`` is the key itself, or the name of the near duplicates it is part of."""

    key: str
    split: str
    frames: int
    atoms: int
    group: str


@dataclass(frozen=True)
class SplitData:
    """A data set as it is split: frames, frame indices of the splits, group and bare key of every frame."""

    config: DataConfig
    frames: Sequence[Frame]
    splits: Splits
    groups: list[str]
    keys: list[str]


def read_split(config: DataConfig, cutoff: float) -> SplitData:
    """Read a data set and split it as a training with this ``cutoff`` (Å) does; errors as in training."""
    loaded = load_dataset(config)
    reserved = isolated_atom_frames(loaded.frames, cutoff)
    splits, groups = split_frames(config, loaded, reserved)
    bare = replace(config, merge_near_duplicates=False)
    keys = frame_groups(bare, loaded.frames, reserved) if config.group_key else groups
    return SplitData(config, loaded.frames, splits, groups, keys)


def key_table(data: SplitData) -> list[KeyRow]:
    """Every key of a grouped split with its split (``unused`` where ``train_size`` leaves frames out), sorted.

    Raises ConfigError for another split than ``groups``.
    """
    if data.config.split != "groups":
        raise ConfigError(f"data.split={data.config.split} has no keys to list; use data.split=groups.")
    owner = {i: split for split, indices in data.splits.items() for i in indices}
    counts: dict[tuple[str, str, str], tuple[int, int]] = {}
    for i, frame in enumerate(data.frames):
        row = data.keys[i], owner.get(i, "unused"), data.groups[i]
        frames, atoms = counts.get(row, (0, 0))
        counts[row] = frames + 1, atoms + len(frame.atoms)
    return [KeyRow(key, split, *count, group) for (key, split, group), count in sorted(counts.items())]


def write_key_table(rows: Sequence[KeyRow], path: Path) -> None:
    """Write the rows of ``key_table`` as CSV; raises ConfigError where it cannot, or would replace another file."""
    refuse_foreign("--out", path, lambda text: text.startswith(",".join(KeyRow._fields)))
    prepare_place("--out", path)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(KeyRow._fields)
        writer.writerows(rows)


@dataclass(frozen=True)
class DuplicateAudit:
    """Nearest train frame of every test frame, nearest first.

    ``threshold`` is the distance below which frames are near duplicates (NaN where no trajectory is known), ``near``
    how many test frames have such a train frame.
    """

    pairs: list[NearestPair]
    threshold: float

    @property
    def near(self) -> int:
        """Number of test frames with a near duplicate in train."""
        return sum(pair.distance < self.threshold for pair in self.pairs)


def audit_duplicates(data: SplitData) -> DuplicateAudit:
    """Compare all test frames with all train frames, whatever the split."""
    prints = fingerprints(data.frames)
    threshold = near_duplicate_threshold(data.keys, prints, data.config.trajectories)
    return DuplicateAudit(nearest_pairs(data.splits, prints), threshold)


def render_audit(data: SplitData, audit: DuplicateAudit, shown: int) -> Table:
    """A rich table of the ``shown`` nearest pairs; its caption counts near duplicates."""
    median = statistics.median(pair.distance for pair in audit.pairs)
    table = Table(title=f"Nearest train frames of the test frames of {data.config.name}", caption_justify="left")
    add_columns(table, "test frame", "its key", "train frame", "its key", "distance", words=("its key",))
    for pair in audit.pairs[:shown]:
        test, train = (data.keys[i] if data.config.group_key else "" for i in (pair.test, pair.train))
        table.add_row(str(pair.test), test, str(pair.train), train, f"{pair.distance:.3g}")
    limit = "no trajectory is known (data.group_key), so none is called a near duplicate"
    if not math.isnan(audit.threshold):
        limit = f"{audit.near} nearer than {audit.threshold:.3g}, as only 1 % of the pairs inside a trajectory are"
    nearest = audit.pairs[0].distance
    table.caption = f"{len(audit.pairs)} test frames: {limit}; nearest {nearest:.3g}, median {median:.3g}"
    return table
