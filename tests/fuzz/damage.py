"""Mutations of files, as disks, editors and scripts make them: each a function of the content and a generator."""

from __future__ import annotations

import contextlib
import gzip
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NUMBERS = ("nan", "inf", "-inf", "1e308", "1e400", "-1", "0", "18446744073709551616", "abc", "", "1.2.3", "1d5", "****")
COUNTS = ("-1", "0", "1", "99999999999", "18446744073709551616", "2.5", "two", "")


@dataclass(frozen=True)
class Damaged:
    """``content`` of the file; frames before ``first`` and the last ``last`` ones are as they were.

    ``block``: the frame between them.
    """

    content: bytes
    first: int
    last: int
    block: bytes = b""


def blocks_of(text: str) -> list[str]:
    """The frames of an extended XYZ file as they stand there."""
    lines, found = text.splitlines(keepends=True), []
    while lines:
        size = int(lines[0]) + 2
        found.append("".join(lines[:size]))
        lines = lines[size:]
    return found


def damaged_frames(blocks: Sequence[str], rng: random.Random) -> tuple[str, Damaged]:
    """One mutation of an extended XYZ file, and its name."""
    name = rng.choice([*_OF_A_BLOCK, *_OF_THE_FILE])
    k = rng.randrange(len(blocks))
    if name in _OF_A_BLOCK:
        new = _OF_A_BLOCK[name](blocks[k], rng)
        content = new if isinstance(new, bytes) else new.encode()
        before, after = "".join(blocks[:k]).encode(), "".join(blocks[k + 1 :]).encode()
        return name, Damaged(before + content + after, k, len(blocks) - k - 1, content)
    content = _OF_THE_FILE[name]("".join(blocks).encode(), rng)
    return name, Damaged(content, 0, 0)


def as_written(block: str) -> dict[str, list[float]]:
    """What a frame says to a reader who knows no more than the format: numbers of positions, forces, energy, stress.

    What does not stand there in the usual way is left out.
    """
    found: dict[str, list[float]] = {}
    count, header, *rows = block.splitlines()
    named = re.search(r"(?<!\S)Properties=(\S+)", header)
    fields = named[1].split(":") if named else []
    start = 0
    for name, kind, columns in zip(fields[::3], fields[1::3], fields[2::3], strict=False):
        width = int(columns)
        if kind == "R" and name in ("pos", "forces"):
            words = [word for row in rows[: int(count)] for word in row.split()[start : start + width]]
            found[name] = [float(word) for word in words]
        start += width
    with contextlib.suppress(ValueError):
        for key in ("energy", "stress"):
            values = re.findall(rf"""(?<!\S){key}=(?:"([^"]*)"|(\S+))""", header)
            if len(values) == 1:
                found[key] = [float(word) for word in "".join(values[0]).split()]
    if len(tensor := found.get("stress", ())) == 9:
        found["stress"] = [(tensor[3 * i + j] + tensor[3 * j + i]) / 2 for i in range(3) for j in range(3)]
    return found


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether numbers are equal up to rounding; what is missing (NaN) equals what is missing."""
    near = lambda a, b: math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12) or (math.isnan(a) and math.isnan(b))  # noqa: E731
    return len(one) == len(other) and all(map(near, one, other))


def damaged_bytes(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """One mutation of any file, and its name."""
    name = rng.choice(list(_OF_BYTES))
    return name, _OF_BYTES[name](content, rng)


def _flip(content: bytes, rng: random.Random) -> bytes:
    k = rng.randrange(max(1, len(content)))
    return content[:k] + bytes([content[k] ^ (1 << rng.randrange(8))]) + content[k + 1 :] if content else b"\0"


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(max(1, len(content)))]


def _lines(change: Callable[[list[str], random.Random], None]) -> Callable[[str, random.Random], str]:
    def changed(block: str, rng: random.Random) -> str:
        lines = block.splitlines()
        change(lines, rng)
        return "".join(f"{line}\n" for line in lines)

    return changed


def _drop_line(lines: list[str], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def _repeat_line(lines: list[str], rng: random.Random) -> None:
    k = rng.randrange(len(lines))
    lines.insert(k, lines[k])


def _repeat_header(lines: list[str], rng: random.Random) -> None:
    lines.insert(1, lines[1])


def _blank_line(lines: list[str], rng: random.Random) -> None:
    lines.insert(rng.randrange(len(lines) + 1), " " * rng.randrange(2))


def _swap_columns(lines: list[str], rng: random.Random) -> None:
    k = rng.randrange(2, len(lines))
    words = lines[k].split()
    i, j = rng.sample(range(len(words)), 2)
    words[i], words[j] = words[j], words[i]
    lines[k] = " ".join(words)


def _drop_column(lines: list[str], rng: random.Random) -> None:
    k = rng.randrange(2, len(lines))
    words = lines[k].split()
    del words[rng.randrange(len(words))]
    lines[k] = " ".join(words)


def _number(lines: list[str], rng: random.Random) -> None:
    k = rng.randrange(2, len(lines))
    words = lines[k].split()
    words[rng.randrange(len(words))] = rng.choice(NUMBERS)
    lines[k] = " ".join(words)


def _header_number(lines: list[str], rng: random.Random) -> None:
    words = lines[1].split(" ")
    places = [i for i, word in enumerate(words) if any(c.isdigit() for c in word)]
    i = rng.choice(places)
    quoted = words[i].endswith('"')
    key = words[i].partition("=")[0] + "=" if "=" in words[i] else ""
    words[i] = key + ('"' if words[i][len(key) :].startswith('"') else "") + rng.choice(NUMBERS) + '"' * quoted
    lines[1] = " ".join(words)


def _header_word(lines: list[str], rng: random.Random) -> None:
    words = lines[1].split(" ")
    i = rng.randrange(len(words))
    if rng.random() < 0.5:
        del words[i]
    else:
        words.insert(i, words[rng.randrange(len(words))])
    lines[1] = " ".join(words)


def _properties(lines: list[str], rng: random.Random) -> None:
    old, new = rng.choice(
        [(":R:", ":I:"), (":R:", ":S:"), (":R:", ":L:"), (":3", ":2"), (":3", ":4"), (":3", ":-1"), ("pos:", "force:"),
         ("forces:", "pos:"), (":R:3", ":R:99999999999"), ("Properties=", "properties="), ("Properties=", "Properties"),
         ("species:S:1", "Z:I:1"), (":S:", ":R:")]
    )  # fmt: skip
    places = lines[1].split(old)
    k = rng.randrange(1, max(2, len(places)))
    lines[1] = old.join(places[:k]) + new + old.join(places[k:])


def _count(lines: list[str], rng: random.Random) -> None:
    lines[0] = rng.choice([*COUNTS, str(int(lines[0]) + 1), str(int(lines[0]) - 1)])


def _not_utf8(block: str, rng: random.Random) -> bytes:
    content = block.encode()
    k = rng.randrange(len(content))
    return content[:k] + rng.choice([b"\xff\xfe", b"\xc3", b"\0\0\0", b"\x80"]) + content[k:]


_OF_A_BLOCK: dict[str, Callable[[str, random.Random], str | bytes]] = {
    "flipped bit": lambda block, rng: _flip(block.encode(), rng),
    "dropped line": _lines(_drop_line),
    "repeated line": _lines(_repeat_line),
    "repeated header": _lines(_repeat_header),
    "blank line": _lines(_blank_line),
    "swapped columns": _lines(_swap_columns),
    "dropped column": _lines(_drop_column),
    "number": _lines(_number),
    "number in the header": _lines(_header_number),
    "word of the header": _lines(_header_word),
    "properties": _lines(_properties),
    "count": _lines(_count),
    "not UTF-8": _not_utf8,
}
_OF_THE_FILE: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut file": _cut,
    "empty": lambda content, rng: rng.choice([b"", b"\n", b" \n\n", b"\0" * 100]),
    "gzip": lambda content, rng: gzip.compress(content),
    "cut gzip": lambda content, rng: _cut(gzip.compress(content), rng),
    "Windows": lambda content, rng: content.replace(b"\n", b"\r\n"),
    "byte order mark": lambda content, rng: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content, rng: content.decode().encode("utf-16"),
}
_OF_BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped bit": _flip,
    "cut": _cut,
    "empty": lambda content, rng: b"",
    "null": lambda content, rng: b"null\n",
    "wrong type": lambda content, rng: rng.choice(
        [b"[]\n", b"{}\n", b"3\n", b'"text"\n', b"[1, [2]]\n", b'{"a": null}\n']
    ),
    "not UTF-8": lambda content, rng: content[: len(content) // 2] + b"\xff\xfe\x80" + content[len(content) // 2 :],
    "zeros": lambda content, rng: content[: len(content) // 2] + b"\0" * (len(content) - len(content) // 2),
    "twice": lambda content, rng: content + content,
}
