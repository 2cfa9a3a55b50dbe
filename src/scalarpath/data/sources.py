"""Where the frames of a data set come from: files, the bundled sets, (r)MD17, or a source of another package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from scalarpath.core.imports import imported
from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.data.config import SOURCES, DataConfig
from scalarpath.data.lazy import PackedItems
from scalarpath.data.paths import sources
from scalarpath.data.reading import Frame, read_frames


@dataclass(frozen=True)
class LoadedFrames:
    """The frames of a data set; a frame's index in ``frames`` is its identity everywhere downstream.

    pool: indices still to be split; valid, test: indices already assigned by their own files (None: cut from the pool).
    notes: what the audit says about the files.
    """

    frames: Sequence[Frame]
    pool: list[int]
    valid: list[int] | None = None
    test: list[int] | None = None
    notes: Sequence[str] = ()


class SourceFrames(NamedTuple):
    """What a source gives: frames that are still to be split, and those of parts that have files of their own.

    ``notes`` may still grow while the frames are read.
    """

    pool: Iterable[Frame]
    valid: Iterable[Frame] | None = None
    test: Iterable[Frame] | None = None
    notes: Sequence[str] = ()


def load_dataset(config: DataConfig | Mapping[str, Any]) -> LoadedFrames:
    """Read all frames of a data set (see ``conf/data``); raises ConfigError or DataError naming file and frame."""
    config = DataConfig.read(config)
    source = imported(SOURCES.get(config.source, config.source), f"data.source = {config.source}")
    frames, given = PackedItems[Frame](), source(config)
    pool, valid, test = (None if part is None else frames.extend(part) for part in given[:3])
    return LoadedFrames(frames, pool or [], valid, test, tuple(given.notes))


def from_files(config: DataConfig, base: Path = Path()) -> SourceFrames:
    """Frames of ``path``, and of ``valid_path`` and ``test_path`` where they are given."""
    notes: list[str] = []

    def part(setting: str, index: str = ":") -> Iterator[Frame] | None:
        paths = getattr(config, setting)
        # all files are looked for at once; none is opened before it is its turn
        files = sources(paths, notes, f"data.{setting}", base) if paths else []
        frames = (read_frames(file, own or index, notes) for file, own in files)
        return chain.from_iterable(frames) if files else None

    return SourceFrames(part("path", config.index) or (), part("valid_path"), part("test_path"), notes)


def from_bundled_files(config: DataConfig) -> SourceFrames:
    """The same of files in the folder of the bundled data."""
    return from_files(config, BUNDLED_DIR)
