"""For the reference of the site: a table drawn in a docstring with lines of = stays as it is drawn."""

from __future__ import annotations

from typing import Any

from griffe import Extension, Object


class DocstringTables(Extension):
    """Puts every such table between the marks of a block of code."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for every module, class and function."""
        if obj.docstring is None:
            return
        lines, drawn = obj.docstring.value.splitlines(), False
        for number, line in enumerate(lines):
            is_rule = line.startswith("===")
            ends = is_rule and drawn and not (number + 1 < len(lines) and lines[number + 1].strip())
            if is_rule and not drawn:
                lines[number], drawn = "```\n" + line, True
            elif ends:
                lines[number], drawn = line + "\n```", False
        obj.docstring.value = "\n".join(lines)
