"""Writing files so that a name never shows a half-written file."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scalarpath.core.errors import ConfigError


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to a neighbouring file, then move it to ``path``."""
    with put_in_place(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def put_in_place(path: Path) -> Iterator[Path]:
    """A neighbouring file to be written within this block, which is moved to ``path`` at its end, or removed."""
    partial = path.with_name(path.name + ".part")
    with removed_on_failure(partial):
        yield partial
        os.replace(partial, path)


@contextmanager
def removed_on_failure(*partial: Path) -> Iterator[None]:
    """Leave nothing half-written behind when it cannot be finished, on a full disk for example."""
    try:
        yield
    except BaseException:
        for path in partial:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def is_disk_full(error: OSError) -> bool:
    """Whether there is no room left, on the disk or for the user."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write ``data`` as JSON; NaN and infinity are refused, because JSON has neither."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def prepare_new(setting: str, path: Path, others: Iterable[Path] = ()) -> None:
    """Make the folder of a file that is to be written under ``setting``, and of ``others`` that belong to it.

    Raises ConfigError where one of the files exists, since nothing is replaced, or where none can be written.
    """
    if existing := [each for each in (path, *others) if each.exists()]:
        raise ConfigError(f"{setting}={existing[0]} is there already; choose another name, or remove it.")
    prepare_place(setting, path)


def prepare_place(setting: str, path: Path) -> None:
    """Make the folder of a file to be written, which ``setting`` names; raises ConfigError where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigError(f"{setting}={path} cannot be written: {error.strerror}; choose another place.") from error


def refuse_foreign(setting: str, first: Path, is_ours: Callable[[str], bool], others: Iterable[Path] = ()) -> None:
    """Raise ConfigError where one of these files exists that the program has not written, before it is replaced.

    ``is_ours`` tells from the text of ``first``, and raises or is false for another text; the ``others`` are written
    together with ``first`` and are ours where that is. ``setting`` is what names their place.
    """
    existing = [path for path in (first, *others) if path.exists()]
    try:
        ours = not existing or is_ours(first.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, LookupError):
        ours = False
    if not ours:
        raise ConfigError(
            f"{setting}: {existing[0]} is there and was not written by this program; choose another place."
        )
