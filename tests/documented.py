"""The examples of the documentation, written out as the files that it names."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def write_examples(page: str, folder: Path) -> list[str]:
    """Write every block of docs/``page`` that follows a line with the name of its file; returns these names."""
    named = r"`([\w/]+\.(?:py|yaml|xml|in))`[^\n]*\n\n```\w+\n(.*?)```"
    blocks = re.findall(named, (DOCS / page).read_text(), re.DOTALL)
    for name, text in blocks:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return [name for name, _ in blocks]
