"""Letters for terminals that do not know all of them."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

PLAIN = str.maketrans({"×": "x", "–": "-", "−": "-", "→": "->", "…": "..."})


def use_plain_letters() -> None:
    """Let the standard streams write ``A`` for ``Å`` where their encoding has no such letter, instead of failing."""
    codecs.register_error("scalarpath.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="scalarpath.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = unicodedata.normalize("NFKD", error.object[error.start : error.end].translate(PLAIN))
    text = "".join(letter if letter.isascii() else "" if unicodedata.combining(letter) else "?" for letter in letters)
    return text, error.end
