"""What the audit has found, as a table and as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from scalarpath.core.terminal import add_columns

OVERRULE = "or data.on_suspicious=warn if it is right"
"""How every suspicion ends: the one setting that overrules them."""


@dataclass(frozen=True)
class PropertyAudit:
    """One property over the data set; the range is in ``unit`` (energy per atom), None where no frame carries it."""

    name: str
    key: str | None
    frames: int
    unit: str
    source_unit: str
    sign: str | None
    minimum: float | None
    maximum: float | None


@dataclass
class LabelAudit:
    """What the labels of a data set are.

    ``checks`` say what was found right. ``suspicions`` (about properties that the loss weighs) stop a run unless
    allowed; ``warnings`` are for reading.
    """

    files: list[str]
    frames: int
    atoms: int
    elements: dict[str, int]
    properties: list[PropertyAudit]
    largest_force: float | None
    largest_net_force: float | None
    checks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    suspicions: list[str] = field(default_factory=list)

    def suspect(self, text: str, *, weighed: bool) -> None:
        """Note what looks wrong: a suspicion if the loss weighs the property, else only a warning."""
        (self.suspicions if weighed else self.warnings).append(text)

    def to_json(self) -> dict[str, Any]:
        """Plain values only, for the run directory."""
        return asdict(self)

    def render(self) -> Table:
        """A rich table of the properties, with every check, warning and suspicion in its caption."""
        counts = ", ".join(f"{symbol} {count}" for symbol, count in self.elements.items())
        table = Table(title=f"Labels of {self.frames} frames, {self.atoms} atoms ({counts})", caption_justify="left")
        words = ("property", "key", "unit", "read as")
        add_columns(table, "property", "key", "frames", "minimum", "maximum", "unit", "read as", words=words)
        for item in self.properties:
            low, high = ("-" if x is None else f"{x:.4g}" for x in (item.minimum, item.maximum))
            source = item.source_unit if item.sign is None else f"{item.source_unit}, {item.sign}"
            table.add_row(
                item.name, Text(item.key or "-"), f"{item.frames}/{self.frames}", low, high, item.unit, source
            )
        kinds = {"checked": self.checks, "note": self.warnings, "suspicious": self.suspicions}
        notes = [f"{kind}: {text}" for kind, texts in kinds.items() for text in texts]
        table.caption = Text("\n".join(notes)) if notes else None  # Text: brackets in messages are no markup
        return table
