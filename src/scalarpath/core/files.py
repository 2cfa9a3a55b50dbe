"""Writing files so that a name never shows a half-written file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to a neighbouring file, then move it to ``path``."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write ``data`` as JSON; NaN and infinity are refused, because JSON has neither."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")
