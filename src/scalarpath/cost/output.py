"""The files that a suite leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from scalarpath.core.errors import ConfigError
from scalarpath.core.files import refuse_foreign, write_json
from scalarpath.core.terminal import open_console
from scalarpath.cost.settings import BenchmarkSettings

BESIDE = {
    "scale": (".svg",),
    "peers": (".md", ".svg"),
    "accuracy": (".md", ".svg"),
}  # of these suites, next to the JSON file


def prepare_output(settings: BenchmarkSettings) -> None:
    """Make the folder; raises ConfigError where nothing can be written, or a file is not a suite's own."""
    path = Path(settings.output)
    there = path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):  # before hours of measurement
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise ConfigError(f"output = {path} is not writable: {error.strerror}; choose another one.") from error
    refuse_foreign("output", path, _is_result, [path.with_suffix(end) for end in BESIDE.get(settings.suite, ())])


def write_result(settings: BenchmarkSettings, result: Mapping[str, Any], table: RenderableType, *beside: Path) -> None:
    """Write the JSON file and show the table; ``beside``: other files that are written already."""
    write_json(Path(settings.output), result)
    written = f"written: {', '.join(map(str, (settings.output, *beside)))}"
    open_console().print(table, written, sep="\n", highlight=False, soft_wrap=True)


def _is_result(text: str) -> bool:
    content = json.loads(text)
    return "suite" in content or {"structure", "backbone", "arms"} <= set(content)
