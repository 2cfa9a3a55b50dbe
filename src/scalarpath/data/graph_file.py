"""Graphs as records of one flat file, written one by one and read through memory mapping."""

from __future__ import annotations

import abc
import math
import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np
import torch

from scalarpath.graph import AtomicGraph

MAGIC = int.from_bytes(b"spgraphs", "little")
ATOMS, EDGES = -1, -2
# Shape, type on disk, type in the graph: neighbours and cell shifts are small integers, stored narrow. Wide types come
# first, so that every array of a record is aligned.
LAYOUT: dict[str, tuple[tuple[int, ...], str, str]] = {
    "cell": ((1, 3, 3), "<f8", "f8"),
    "energy": ((1,), "<f8", "f8"),
    "stress": ((1, 3, 3), "<f8", "f8"),
    "pos": ((ATOMS, 3), "<f8", "f8"),
    "forces": ((ATOMS, 3), "<f8", "f8"),
    "edge_index": ((2, EDGES), "<i4", "i8"),
    "edge_slot": ((EDGES,), "<i4", "i8"),
    "edge_reverse": ((EDGES,), "<i4", "i8"),
    "edge_shift": ((EDGES, 3), "<i2", "f8"),
    "z": ((ATOMS,), "<i2", "i8"),
    "pbc": ((1, 3), "?", "?"),
}
ALIGNMENT = 8
SIZES = np.dtype([("atoms", "<i8"), ("edges", "<i8"), ("max_degree", "<i8"), ("isolated", "<i8")])


def graph_sizes(graph: AtomicGraph) -> tuple[int, int, int, int]:
    """Atoms, directed edges, neighbours of the best connected atom, and atoms without any neighbour."""
    degree = torch.bincount(graph.edge_index[0], minlength=graph.z.numel())
    return graph.z.numel(), graph.edge_index.shape[1], int(degree.max()), int((degree == 0).sum())


def write_graphs(stream: BinaryIO, graphs: Iterable[AtomicGraph]) -> None:
    """Write ``graphs`` to ``stream``: a record each, then a table of their sizes; none but the current one is kept."""
    sizes = []
    for graph in graphs:
        sizes.append(graph_sizes(graph))
        record = b"".join(np.asarray(graph[key]).astype(dtype).tobytes() for key, (_, dtype, _) in LAYOUT.items())
        stream.write(record.ljust(-(-len(record) // ALIGNMENT) * ALIGNMENT, b"\0"))
    stream.write(np.array(sizes, dtype=SIZES).tobytes())
    stream.write(np.array([len(sizes), MAGIC], dtype="<i8").tobytes())


class Graphs(Sequence[AtomicGraph], abc.ABC):
    """Graphs that are made or read one by one; a slice is a list."""

    @abc.abstractmethod
    def graph(self, index: int) -> AtomicGraph:
        """The graph at a position."""

    @overload
    def __getitem__(self, index: int) -> AtomicGraph: ...

    @overload
    def __getitem__(self, index: slice) -> list[AtomicGraph]: ...

    def __getitem__(self, index: int | slice) -> AtomicGraph | list[AtomicGraph]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return self.graph(index)


class GraphFile(Graphs):
    """The graphs of a file made by ``write_graphs``; only those that are asked for are read.

    sizes: a row of SIZES for every graph. Raises ValueError if the file is not whole.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        tail = 2 * ALIGNMENT
        count, magic = np.frombuffer(self._bytes, "<i8", 2, max(0, len(self._bytes) - tail)).tolist()
        table = len(self._bytes) - tail - count * SIZES.itemsize
        if magic != MAGIC or count < 0 or table < 0:
            raise ValueError("no table of graphs at its end")
        self.sizes = np.frombuffer(self._bytes, SIZES, count, table)
        self._starts = np.concatenate([[0], np.cumsum(_record_bytes(self.sizes["atoms"], self.sizes["edges"]))])
        if self._starts[-1] != table:
            raise ValueError("its records do not fit their table")

    def __len__(self) -> int:
        return len(self.sizes)

    def graph(self, index: int) -> AtomicGraph:
        """The graph at a position."""
        n_atoms, n_edges, *_ = self.sizes[index].tolist()
        lengths, start, arrays = {ATOMS: n_atoms, EDGES: n_edges}, int(self._starts[:-1][index]), {}
        for key, (template, stored_type, graph_type) in LAYOUT.items():
            shape = [lengths.get(length, length) for length in template]
            stored = np.frombuffer(self._bytes, stored_type, math.prod(shape), start)
            # astype copies: a graph owns its memory, and what is done to it never reaches the file
            arrays[key] = torch.from_numpy(stored.astype(graph_type).reshape(shape))
            start += stored.nbytes
        return AtomicGraph(**arrays, frame=torch.tensor([index]), num_nodes=n_atoms)


def _record_bytes(n_atoms: np.ndarray, n_edges: np.ndarray) -> np.ndarray:
    """Size of the records of graphs with so many atoms and edges."""
    total = np.zeros_like(n_atoms)
    for template, stored_type, _ in LAYOUT.values():
        lengths = [{ATOMS: n_atoms, EDGES: n_edges}.get(length, length) for length in template]
        total = total + np.dtype(stored_type).itemsize * math.prod(lengths)
    return -(-total // ALIGNMENT) * ALIGNMENT


class GraphSet(Graphs):
    """Graphs of a data set in some order, each made or read when it is asked for, with its frame number.

    store: where the graphs are, a GraphFile or a list; sizes: a row of SIZES each; frames: the frame number of each.
    """

    def __init__(
        self, store: Sequence[AtomicGraph], sizes: np.ndarray, frames: np.ndarray, rows: np.ndarray | None = None
    ) -> None:
        self.store, self.sizes, self.frames = store, sizes, frames
        self._rows = np.arange(len(sizes)) if rows is None else rows

    def select(self, positions: Sequence[int]) -> GraphSet:
        """The graphs at ``positions``, in that order."""
        chosen = np.asarray(positions, dtype=np.int64)
        return GraphSet(self.store, self.sizes[chosen], self.frames[chosen], self._rows[chosen])

    def __len__(self) -> int:
        return len(self._rows)

    def graph(self, index: int) -> AtomicGraph:
        """The graph at a position."""
        graph = self.store[int(self._rows[index])]
        graph.frame = torch.tensor([int(self.frames[index])])
        return graph
