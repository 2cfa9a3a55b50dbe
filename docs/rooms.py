"""Reads which room of src/scalarpath imports which, and draws docs/rooms.svg: python docs/rooms.py."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

from svg import SOFT, box, document, save, text

PACKAGE = Path(__file__).resolve().parents[1] / "src/scalarpath"
# A room may import those before it, never one after it. cli.py is the top: the commands.
ORDER = [
    "core", "graph", "nn", "heads", "backbones", "potential", "data", "runs", "upstream", "optimizers", "artifacts",
    "deploy", "cost", "labelling", "training", "evaluation", "models", "report", "cli",
]  # fmt: skip


def room(path: Path) -> str:
    """The room that a source file belongs to."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imports(path: Path) -> list[str]:
    """Modules that a source file imports, those within functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [
                f"{node.module}.{name.name}" if node.module == "scalarpath" else node.module for name in node.names[:1]
            ]
        elif isinstance(node, ast.Import):
            found += [name.name for name in node.names]
    return found


def imports_between_rooms() -> dict[tuple[str, str], list[str]]:
    """Files by (room that imports, room that is imported)."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for module in imports(path):
            if module.startswith("scalarpath.") and module.split(".")[1] != room(path):
                found.setdefault((room(path), module.split(".")[1]), []).append(str(path.relative_to(PACKAGE)))
    return found


def purpose(name: str) -> str:
    """The first line of a room's docstring."""
    path = PACKAGE / name / "__init__.py"
    source = path if path.exists() else PACKAGE / f"{name}.py"
    return (
        (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "")
        .splitlines()[0]
        .rstrip(".")
        .replace("`", "")
    )


def picture() -> str:
    """A matrix: a dot where the room of the row imports the room of the column. All dots stand below the diagonal."""
    left, top, wide, high = 96, 92, 25, 33
    x, y = (lambda column: left + wide * (column + 0.5)), (lambda row: top + high * (row + 0.5))
    size = len(ORDER)
    shapes = [text(left + wide * size + 24, 60, "what it is for", bold=True, fill=SOFT, anchor="start")]
    for i, name in enumerate(ORDER):
        shapes += [
            box(8, top + high * i, 884, high, "#f8fafb" if i % 2 else "white", edge="none"),
            f"<g transform='translate({x(i):g} {top - 8}) rotate(-60)'>{text(0, 4, name, anchor='start')}</g>",
        ]
    for i, name in enumerate(ORDER):
        shapes.append(text(left - 10, y(i) + 4, name, 13, bold=True, anchor="end"))
        shapes.append(box(left + wide * i + 3, top + high * i + 6, wide - 6, high - 12, "#c9d4de", edge="none"))
        lines = textwrap.wrap(purpose(name), 58, max_lines=2, break_on_hyphens=False)
        start = y(i) + 4 - 7 * (len(lines) - 1)
        rows = [text(left + wide * size + 24, start + 14 * k, line, 11, anchor="start") for k, line in enumerate(lines)]
        shapes += rows
    for importer, imported in sorted(imports_between_rooms()):
        row, column = ORDER.index(importer), ORDER.index(imported)
        fill = "#2f7d5b" if column < row else "#c0392b"
        shapes.append(f"<circle cx='{x(column):g}' cy='{y(row):g}' r='6' fill='{fill}'/>")
    title = "Which room of src/scalarpath imports which: a dot where the room of the row imports that of the column"
    return document(900, top + high * size + 12, title, shapes)


if __name__ == "__main__":
    save(__file__, picture())
