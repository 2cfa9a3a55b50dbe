"""Frames that are almost the same: groups that hold such frames are one group, and a split is audited for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from scalarpath.data.fingerprints import distances

PERCENTILE = 1.0  # of the distances inside trajectories; what is nearer is a near duplicate


def near_duplicate_threshold(groups: Sequence[str], prints: np.ndarray, trajectories: str | None) -> float:
    """The PERCENTILE of the distances between frames of one trajectory; NaN where no trajectory has two frames.

    A trajectory is a group whose name matches ``trajectories`` (``*hot*``), any group if that is None. prints:
    fingerprints of the frames, [n, F].
    """
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        if trajectories is None or fnmatchcase(group, trajectories):
            members.setdefault(group, []).append(i)
    inside = [np.empty(0)]
    for indices in members.values():
        rows = prints[indices]
        inside += [part[k, start + k + 1 :] for start, part in distances(rows, rows) for k in range(len(part))]
    found = np.concatenate(inside)
    return float(np.percentile(found, PERCENTILE)) if found.size else np.nan


def merge_near_duplicates(groups: Sequence[str], prints: np.ndarray, threshold: float) -> list[str]:
    """Names of the groups once those with frames nearer than ``threshold`` to each other are joined.

    A joined group is called after its first one and the number of others.
    """
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for start, part in distances(prints, prints):
        row, column = np.nonzero(part < threshold)
        pairs.append(np.stack([number[start + row], number[column]]))
    first, second = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(names), len(names)))
    _, cluster = connected_components(graph, directed=False)
    joined: dict[int, list[str]] = {}
    for name, label in zip(names.tolist(), cluster.tolist(), strict=True):
        joined.setdefault(label, []).append(name)
    called = {
        label: members[0] if len(members) == 1 else f"{members[0]} + {len(members) - 1} more"
        for label, members in joined.items()
    }
    return [called[label] for label in cluster[number].tolist()]


@dataclass(frozen=True)
class NearestPair:
    """A test frame and the train frame that is most like it; ``distance`` is that of their fingerprints."""

    test: int
    train: int
    distance: float


def nearest_pairs(splits: Mapping[str, list[int]], prints: np.ndarray) -> list[NearestPair]:
    """The nearest train frame of every test frame, nearest pairs first."""
    train, pairs = np.asarray(splits["train"]), []
    for start, part in distances(prints[splits["test"]], prints[train]):
        for k, column in enumerate(part.argmin(axis=1)):
            pairs.append(NearestPair(splits["test"][start + k], int(train[column]), float(part[k, column])))
    return sorted(pairs, key=lambda pair: pair.distance)
