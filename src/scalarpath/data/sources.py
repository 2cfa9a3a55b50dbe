"""Where the frames of a data set come from: a file, the bundled sets, or (r)MD17."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.data.config import DataConfig
from scalarpath.data.lazy import PackedItems
from scalarpath.data.md17 import load_md17, load_rmd17
from scalarpath.data.reading import Frame, read_frames


@dataclass(frozen=True)
class LoadedFrames:
    """The frames of a data set; a frame's index in ``frames`` is its identity everywhere downstream.

    pool: indices still to be split; valid, test: indices already assigned by their own files (None: cut from the pool).
    """

    frames: Sequence[Frame]
    pool: list[int]
    valid: list[int] | None = None
    test: list[int] | None = None


def load_dataset(config: DataConfig | Mapping[str, Any]) -> LoadedFrames:
    """Read all frames of a data set (see ``conf/data``); raises ConfigError or DataError naming file and frame."""
    config = DataConfig.read(config)
    if config.source == "rmd17":
        return _join(*load_rmd17(config))
    if config.source == "md17":
        return _join(load_md17(config))
    base = BUNDLED_DIR if config.source == "bundled" else Path()
    valid, test = (read_frames(base / path) if path else None for path in (config.valid_path, config.test_path))
    return _join(read_frames(base / str(config.path), config.index), valid=valid, test=test)


def _join(
    pool: Iterable[Frame], test: Iterable[Frame] | None = None, valid: Iterable[Frame] | None = None
) -> LoadedFrames:
    frames = PackedItems[Frame]()
    indices = [None if part is None else frames.extend(part) for part in (pool, valid, test)]
    return LoadedFrames(frames, indices[0] or [], *indices[1:])
