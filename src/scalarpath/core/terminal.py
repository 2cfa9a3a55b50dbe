"""What the program may print: letters that the terminal knows, tables as wide as it is."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

from rich.console import Console

WIDTH_IN_FILES = 150
"""Columns of tables where the output is no terminal."""
PLAIN = str.maketrans({"×": "x", "–": "-", "−": "-", "→": "->", "…": "..."})


def use_plain_letters() -> None:
    """Let the standard streams write ``A`` for ``Å`` where their encoding has no such letter, instead of failing."""
    codecs.register_error("scalarpath.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="scalarpath.plain")


def table_console() -> Console:
    """For tables: as wide as the terminal, or WIDTH_IN_FILES. Their columns of numbers fold, so that none is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_IN_FILES)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = unicodedata.normalize("NFKD", error.object[error.start : error.end].translate(PLAIN))
    text = "".join(letter if letter.isascii() else "" if unicodedata.combining(letter) else "?" for letter in letters)
    return text, error.end
