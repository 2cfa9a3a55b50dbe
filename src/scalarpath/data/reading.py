"""Reading frames with ASE, with errors that name the file and the frame."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.io.formats import UnknownFileTypeError
from ase.utils import string2index

from scalarpath.core.errors import ConfigError, DataError

DECOMPRESS: dict[str, Any] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}


@dataclass(frozen=True)
class Frame:
    """One structure and the place it was read from (``number`` counts the frames of the file from 0)."""

    atoms: Atoms
    file: str
    number: int

    @property
    def where(self) -> str:
        """File and frame, as they appear in every message."""
        return f"{self.file}, frame {self.number}"


def available_keys(frames: Iterable[Frame]) -> list[str]:
    """Every label-like key that the frames carry in info, arrays or their calculator, sorted."""
    keys: set[str] = set()
    for frame in frames:
        keys.update(frame.atoms.info, frame.atoms.arrays, getattr(frame.atoms.calc, "results", {}))
    return sorted(keys - {"numbers", "positions"})


def read_frames(path: str | Path, index: str | int = ":") -> Iterator[Frame]:
    """Frames of ``path`` (anything ``ase.io`` reads, compressed or not), one after the other.

    ``index`` is an ASE slice such as ``:``, ``::10``, ``-1``; ``path@0:100`` in the path overrides it. Raises DataError
    naming the file, and the frame where reading stopped, if a file is missing, empty, cut short or malformed.
    """
    name, at, inline = str(path).rpartition("@")
    if at and not Path(path).exists():
        path, index = name, inline
    path = Path(path)
    wanted = parse_index(index)
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path (it is relative to {Path.cwd()}).")
    count = 0
    for count, frame in enumerate(_unpacked(path, wanted), start=1):  # noqa: B007 (read after the loop)
        yield frame
    if not count:
        raise DataError(f"{path}: index '{index}' selects no frame; choose another slice or repair the file.")


def parse_index(index: str | int) -> slice:
    """The slice that ``index`` means; raises ConfigError if it is none."""
    try:
        parsed = index if isinstance(index, int) else string2index(index)
    except ValueError as error:
        raise ConfigError(f"frame index '{index}' is not a slice; write for example ':', '0:100' or '::10'.") from error
    if isinstance(parsed, int):
        return slice(parsed, parsed + 1 or None)
    if not isinstance(parsed, slice) or parsed.step == 0:
        raise ConfigError(f"frame index '{index}' is not a slice; write for example ':', '0:100' or '::10'.")
    return parsed


def _unpacked(path: Path, wanted: slice) -> Iterator[Frame]:
    if path.suffix not in DECOMPRESS:
        yield from _read(path, wanted, str(path))
        return
    # ASE seeks in the file, which costs a new decompression each time: a minute for a thousand frames
    with tempfile.TemporaryDirectory() as folder:
        yield from _read(_decompress(path, Path(folder)), wanted, str(path))


def _decompress(path: Path, folder: Path) -> Path:
    plain = folder / path.stem
    try:
        with DECOMPRESS[path.suffix](path, "rb") as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: cannot be decompressed ({error}); fetch or write the file again.") from error
    return plain


def _read(path: Path, wanted: slice, name: str) -> Iterator[Frame]:
    """Frames of ``path``, which errors call ``name``."""
    if path.stat().st_size == 0:
        raise DataError(f"{name}: the file is empty; write the frames again.")
    number, step = wanted.start or 0, wanted.step or 1
    # a file name with '@' would be split again by ASE
    images = ase.io.iread(path, wanted, do_not_split_by_at_sign=True)
    while True:
        try:
            atoms = next(images)
        except StopIteration:
            return
        except UnknownFileTypeError as error:
            raise DataError(f"{name}: ASE does not know this file type; use for example extended XYZ.") from error
        except Exception as error:  # ASE's readers raise anything from KeyError to RuntimeError on malformed input
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            broken = _broken_xyz_frame(path)
            raise DataError(
                f"{name}, frame {number if broken is None else broken}: cut short or malformed ({reason}); "
                "repair or remove this frame."
            ) from error
        if len(atoms) == 0:
            raise DataError(f"{name}, frame {number}: the frame has no atoms; remove it.")
        yield Frame(atoms, name, number)
        number += step


def _broken_xyz_frame(path: Path) -> int | None:
    """The first frame of an (extended) XYZ file with too few or too many lines; ASE's reader does not say which."""
    if path.suffix not in (".xyz", ".extxyz"):
        return None
    with path.open(encoding="utf-8", errors="replace") as stream:
        number = -1
        while header := stream.readline():
            if not header.strip().isdigit():
                # a frame that is too short swallows the header of the next one
                return max(number, 0)
            number += 1
            body = [stream.readline() for _ in range(1 + int(header))]
            if not body[-1]:
                return number
    return None
