"""What belongs together: the key of a frame, made of info keys and of what follows from the structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.fingerprints import fingerprints
from scalarpath.data.labels import cell_volume
from scalarpath.data.near_duplicates import merge_near_duplicates, near_duplicate_threshold
from scalarpath.data.reading import Frame

DERIVED: dict[str, Callable[[Frame, float], str]] = {
    "formula": lambda frame, _: frame.atoms.symbols.formula.reduce()[0].format("metal"),
    "file": lambda frame, _: Path(frame.file).name,
    "n_atoms": lambda frame, _: f"{len(frame.atoms)} atoms",
    "volume_bin": lambda frame, width: _volume_bin(frame, width),
}


def frame_key(frame: Frame, names: str | Sequence[str], setting: str, volume_bin_width: float) -> str:
    """Values of ``names`` joined by ``/``: info keys of the frame, or names in DERIVED.

    ``formula`` is the reduced formula, ``volume_bin`` the interval of the volume per atom (Å^3) whose ends differ by
    the share ``volume_bin_width``. Raises DataError naming ``setting`` if an info key is missing.
    """
    names, info = [names] if isinstance(names, str) else names, frame.atoms.info
    missing = [name for name in names if name not in DERIVED and name not in info]
    if missing:
        raise DataError(
            f"{frame.where}: has no info key '{missing[0]}' (data.{setting}); its info keys are: "
            f"{', '.join(sorted(info)) or 'none'}."
        )
    return "/".join(DERIVED[name](frame, volume_bin_width) if name in DERIVED else str(info[name]) for name in names)


def matching(
    frames: Sequence[Frame], where: Mapping[str, str | Sequence[str]], setting: str, volume_bin_width: float
) -> set[int]:
    """Indices of the frames of which every key of ``where`` (see ``frame_key``) has one of its patterns.

    Raises DataError if an info key is missing, ConfigError naming ``setting`` for a pattern that no frame has.
    """
    found = set(range(len(frames)))
    for key, given in where.items():
        values = [frame_key(frame, key, setting, volume_bin_width) for frame in frames]
        patterns = [given] if isinstance(given, str) else given
        for pattern in patterns:
            if not any(fnmatchcase(value, pattern) for value in values):
                raise ConfigError(
                    f"data.{setting}.{key}: no frame has '{pattern}'; there are: {', '.join(sorted(set(values))[:20])}."
                )
        found &= {i for i, value in enumerate(values) if any(fnmatchcase(value, pattern) for pattern in patterns)}
    return found


def frame_weights(config: DataConfig, frames: Sequence[Frame]) -> np.ndarray | None:
    """Weight of every frame in the loss [frames] by ``data.weights``; None where all weigh the same.

    That of a frame is the product of those whose pattern it has (see ``matching``, also for what is raised).
    """
    if config.weights is None:
        return None
    weights = np.ones(len(frames))
    for key, by_pattern in config.weights.items():
        for pattern, weight in by_pattern.items():
            weights[sorted(matching(frames, {key: pattern}, "weights", config.volume_bin_width))] *= weight
    return weights


def _volume_bin(frame: Frame, width: float) -> str:
    if not np.all(frame.atoms.pbc):
        return "open"
    # intervals of equal ratio, counted from 1 Å^3; the last bits of a volume must not decide, hence the rounding
    number = math.floor(round(math.log(cell_volume(frame) / len(frame.atoms)) / math.log1p(width), 6))
    low, high = (1 + width) ** number, (1 + width) ** (number + 1)
    return f"{low:.4g}-{high:.4g} A^3"


def frame_groups(config: DataConfig, frames: Sequence[Frame], reserved: Sequence[int] = ()) -> list[str]:
    """The group of every frame: its ``group_key``, near duplicates merged if ``merge_near_duplicates`` says so.

    ``reserved`` frames are groups of their own, called by their index. Raises DataError if an info key is missing or
    there is no trajectory by which to judge what is near.
    """
    alone, key = set(reserved), config.group_key or ()
    groups = [
        str(i) if i in alone else frame_key(frame, key, "group_key", config.volume_bin_width)
        for i, frame in enumerate(frames)
    ]
    if not config.merge_near_duplicates:
        return groups
    prints = fingerprints(frames)
    threshold = near_duplicate_threshold(groups, prints, config.trajectories)
    if math.isnan(threshold):
        raise DataError(
            f"{frames[0].file}: no group that data.trajectories means has two frames, so near duplicates cannot be "
            "told; change it, or set data.merge_near_duplicates=false."
        )
    return merge_near_duplicates(groups, prints, threshold)


def check_groups(groups: Sequence[str], splits: dict[str, list[int]], frames: Sequence[Frame]) -> None:
    """Raise DataError if frames of one group lie in different splits."""
    owner: dict[str, tuple[str, int]] = {}
    for split, indices in splits.items():
        for i in indices:
            other, j = owner.setdefault(groups[i], (split, i))
            if other != split:
                raise DataError(
                    f"{frames[i].where}: group '{groups[i]}' is in {split} and, with {frames[j].where}, in {other}; "
                    "put all frames of a group into one file, or change data.group_key."
                )
