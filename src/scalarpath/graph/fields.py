"""The fields of a graph: the one table from which graphs are made, joined, stored, compiled and described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from scalarpath.core.quantities import QUANTITIES, Quantity

Axis = Literal["G", "N", "E", "P"]  # structures, atoms, directed edges, undirected pairs


class Field(NamedTuple):
    """One field of an AtomicGraph.

    role: "batch" for what only a batch has; shape: numbers, and the letter of the axis along which graphs are joined;
    dtype: type in memory; stored: type in the file of graphs, None for what is not stored there; counts: "N" where the
    values are numbers of atoms, "E" where they are numbers of edges, which are counted through all graphs of a batch.
    """

    name: str
    role: Literal["structure", "label", "frame", "batch"]
    shape: tuple[int | Axis, ...]
    dtype: str
    stored: str | None
    meaning: str
    counts: Axis | None = None

    @property
    def axis(self) -> int:
        """The axis along which graphs are joined."""
        return next(k for k, length in enumerate(self.shape) if isinstance(length, str))

    def sizes(self, lengths: Mapping[Axis, Any]) -> list[Any]:
        """The shape with these lengths for the letters."""
        return [lengths[length] if isinstance(length, str) else length for length in self.shape]


def _label(quantity: Quantity) -> Field:
    """The field of the label of a quantity; NaN where it is missing."""
    axis: Axis = "N" if quantity.of_atoms else "G"
    unit = quantity.unit.removesuffix("/atom").replace("A", "Å")
    return Field(quantity.name, "label", (axis, *quantity.shape), "float64", "<f8", f"label, {unit}")


# In the order of the file of graphs: wide types first, so that every array of a record is aligned. Neighbours and cell
# shifts are small integers and are stored narrow.
FIELDS = (
    Field("cell", "structure", ("G", 3, 3), "float64", "<f8", "cell vectors as rows, Å (zeros without a cell)"),
    *(_label(quantity) for quantity in QUANTITIES.values() if not quantity.of_atoms),
    Field("pos", "structure", ("N", 3), "float64", "<f8", "positions, Å"),
    *(_label(quantity) for quantity in QUANTITIES.values() if quantity.of_atoms),
    Field("edge_index", "structure", (2, "E"), "int64", "<i4", "row 0: centre i (sorted), row 1: neighbour j", "N"),
    Field("edge_slot", "structure", ("E",), "int64", "<i4", "running number of the edge among those of its centre"),
    Field("edge_reverse", "structure", ("E",), "int64", "<i4", "which edge is j -> i with the opposite shift", "E"),
    Field("edge_shift", "structure", ("E", 3), "float64", "<i2", "cell shifts S: vec_ij = pos[j] - pos[i] + S @ cell"),
    Field("z", "structure", ("N",), "int64", "<i2", "atomic numbers"),
    Field("pbc", "structure", ("G", 3), "bool", "?", "periodic directions"),
    Field("frame", "frame", ("G",), "int64", None, "position of the frame in its data set"),
    Field("batch", "batch", ("N",), "int64", None, "structure of every atom"),
    Field("edge_pair", "batch", ("E",), "int64", None, "pair to which an edge and its reverse belong"),
    Field("pair_edge", "batch", ("P",), "int64", None, "first edge of every pair"),
)
GRAPH_FIELDS = {field.name: field for field in FIELDS if field.role != "batch"}
LABELS = tuple(field.name for field in FIELDS if field.role == "label")


def fields_table() -> str:
    """The fields as a table for docstrings."""
    head = ("key", "shape", "dtype", "meaning and unit")
    rows = [(f.name, f"[{', '.join(map(str, f.shape))}]", f.dtype, f.meaning) for f in FIELDS]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    line = ["=" * width for width in widths]
    padded = (
        "  ".join(x.ljust(n) for x, n in zip(row, widths, strict=True)) for row in (line, head, line, *rows, line)
    )
    return "\n".join(f"    {row.rstrip()}" for row in padded)
