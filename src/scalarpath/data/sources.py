"""Where the frames of a data set come from: files, the bundled sets, (r)MD17, or a source of another package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scalarpath.core.imports import imported
from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.data.config import SOURCES, DataConfig
from scalarpath.data.lazy import PackedItems
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


class SourceFrames(NamedTuple):
    """What a source gives: frames that are still to be split, and those of parts that have files of their own."""

    pool: Iterable[Frame]
    valid: Iterable[Frame] | None = None
    test: Iterable[Frame] | None = None


def load_dataset(config: DataConfig | Mapping[str, Any]) -> LoadedFrames:
    """Read all frames of a data set (see ``conf/data``); raises ConfigError or DataError naming file and frame."""
    config = DataConfig.read(config)
    source = imported(SOURCES.get(config.source, config.source), f"data.source = {config.source}")
    frames = PackedItems[Frame]()
    indices = [None if part is None else frames.extend(part) for part in source(config)]
    return LoadedFrames(frames, indices[0] or [], *indices[1:])


def from_files(config: DataConfig, base: Path = Path()) -> SourceFrames:
    """Frames of ``path``, and of ``valid_path`` and ``test_path`` where they are given."""
    valid, test = (read_frames(base / path) if path else None for path in (config.valid_path, config.test_path))
    return SourceFrames(read_frames(base / str(config.path), config.index), valid, test)


def from_bundled_files(config: DataConfig) -> SourceFrames:
    """The same of files in the folder of the bundled data."""
    return from_files(config, BUNDLED_DIR)
