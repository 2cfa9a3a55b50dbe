"""Writing files so that a name never shows a half-written file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from scalarpath.core.errors import ConfigError


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to a neighbouring file, then move it to ``path``."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write ``data`` as JSON; NaN and infinity are refused, because JSON has neither."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


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
