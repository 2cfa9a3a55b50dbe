"""What the program may print: letters that the terminal knows, tables as wide as it is."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from collections.abc import Collection

from rich.console import Console
from rich.table import Table

WIDTH_IN_FILES = 150
"""Columns of tables where the output is no terminal."""
PLAIN = str.maketrans({"×": "x", "–": "-", "−": "-", "→": "->", "…": "..."})


def use_plain_letters() -> None:
    """Let the standard streams write ``A`` for ``Å`` where their encoding has no such letter, instead of failing."""
    codecs.register_error("scalarpath.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="scalarpath.plain")


def open_console() -> Console:
    """Standard output for sentences and tables: as wide as the terminal, or WIDTH_IN_FILES."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_IN_FILES)


def add_columns(table: Table, *names: str, words: Collection[str] = ()) -> None:
    """Columns of numbers, to the right, but for those in ``words``. What is too wide folds: no number is cut."""
    for name in names:
        table.add_column(name, justify="left" if name in words else "right", overflow="fold")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = unicodedata.normalize("NFKD", error.object[error.start : error.end].translate(PLAIN))
    text = "".join(letter if letter.isascii() else "" if unicodedata.combining(letter) else "?" for letter in letters)
    return text, error.end
