"""The few shapes of the drawn pictures, as plain SVG text: the same on every machine, so that a test can compare it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

INK, SOFT, LINE = "#1b2733", "#5b6b7a", "#7c8b99"
FONT = "font-family='Helvetica, Arial, sans-serif'"


def box(x: float, y: float, width: float, height: float, fill: str, *, edge: str = LINE, dash: str = "") -> str:
    """A rectangle with round corners."""
    stroke = f"stroke='{edge}'" + (f" stroke-dasharray='{dash}'" if dash else "")
    return f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='7' fill='{fill}' {stroke}/>"


def text(
    x: float, y: float, line: str, size: float = 12, *, bold: bool = False, fill: str = INK, anchor: str = "middle"
) -> str:
    """One line of text; ``y`` is its base line."""
    style = f"font-size='{size:g}' text-anchor='{anchor}' fill='{fill}'" + (" font-weight='bold'" if bold else "")
    return f"<text x='{x:g}' y='{y:g}' {style}>{escape(line)}</text>"


def card(x: float, y: float, width: float, height: float, fill: str, title: str, lines: Sequence[str]) -> str:
    """A box with a title and smaller lines under it, centred."""
    first = y + (height - 17 * len(lines)) / 2 + 4
    rows = [text(x + width / 2, first + 18 + 17 * i, line, 12) for i, line in enumerate(lines)]
    return box(x, y, width, height, fill) + text(x + width / 2, first, title, 14, bold=True) + "".join(rows)


def arrow(points: Sequence[tuple[float, float]], *, both: bool = False) -> str:
    """A line through ``points`` with a head at its end, or at both ends."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    start = " marker-start='url(#head)'" if both else ""
    return f"<polyline points='{path}' fill='none' stroke='{SOFT}' stroke-width='1.6' marker-end='url(#head)'{start}/>"


def document(width: int, height: int, title: str, shapes: Iterable[str]) -> str:
    """The whole picture on white, with ``title`` for readers who cannot see it."""
    head = (
        "<marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='6' markerHeight='6' "
        f"orient='auto-start-reverse'><path d='M0,0 L8,4 L0,8 z' fill='{SOFT}'/></marker>"
    )
    size = f"width='{width}' height='{height}'"
    return "\n".join([
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {size} {FONT}>",
        f"<title>{escape(title)}</title>",
        f"<defs>{head}</defs>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
        *shapes,
        "</svg>\n",
    ])  # fmt: skip


def save(script: str, picture: str) -> None:
    """Write ``picture`` beside ``script``, under the same name with .svg."""
    Path(script).with_suffix(".svg").write_text(picture, encoding="utf-8")
