"""Graphs as records of one flat file, written one by one and read through memory mapping."""

from __future__ import annotations

import math
import mmap
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from scalarpath.data.lazy import LazySequence
from scalarpath.graph import AtomicGraph
from scalarpath.graph.fields import GRAPH_FIELDS, Axis

MAGIC = int.from_bytes(b"spgraphs", "little")
STORED = {name: field for name, field in GRAPH_FIELDS.items() if field.stored}
ALIGNMENT = 8
KEPT_VIEWS = 4096  # graphs whose places in the file are remembered; a few kB each
SIZES = np.dtype([("atoms", "<i8"), ("edges", "<i8"), ("max_degree", "<i8"), ("isolated", "<i8")])


def graph_sizes(graph: AtomicGraph) -> tuple[int, int, int, int]:
    """Atoms, directed edges, neighbours of the best connected atom, and atoms without any neighbour."""
    degree = torch.bincount(graph.edge_index[0], minlength=graph.z.numel())
    return graph.z.numel(), graph.edge_index.shape[1], int(degree.max()), int((degree == 0).sum())


def write_graphs(stream: BinaryIO, graphs: Iterable[AtomicGraph]) -> None:
    """Write ``graphs`` to ``stream``: a record each, then a table of their sizes; none but the current one is kept.

    The last numbers of the file are the CRC-32 of all before, the number of graphs, and ``MAGIC``.
    """
    sizes, checksum = [], 0

    def write(data: bytes) -> None:
        nonlocal checksum
        checksum = zlib.crc32(data, checksum)
        stream.write(data)

    for graph in graphs:
        sizes.append(graph_sizes(graph))
        record = b"".join(np.asarray(graph[key]).astype(field.stored).tobytes() for key, field in STORED.items())
        write(record.ljust(-(-len(record) // ALIGNMENT) * ALIGNMENT, b"\0"))
    write(np.array(sizes, dtype=SIZES).tobytes())
    stream.write(np.array([checksum, len(sizes), MAGIC], dtype="<i8").tobytes())


class GraphFile:
    """The graphs of a file made by ``write_graphs``; only those that are asked for are read.

    sizes: a row of SIZES for every graph; arrays: gives the fields of a graph as they are stored, read-only.
    Raises ValueError if the file is not as it was written.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        tail = max(0, len(self._bytes) - 3 * ALIGNMENT)
        checksum, count, magic = np.frombuffer(self._bytes, "<i8", 3, tail).tolist()
        table = tail - count * SIZES.itemsize
        if magic != MAGIC or count < 0 or table < 0:
            raise ValueError("no table of graphs at its end")
        with memoryview(self._bytes) as view:
            if zlib.crc32(view[:tail]) != checksum:
                raise ValueError("it does not fit its checksum")
        self.sizes = np.frombuffer(self._bytes, SIZES, count, table)
        self._starts = np.concatenate([[0], np.cumsum(_record_bytes(self.sizes["atoms"], self.sizes["edges"]))])
        if self._starts[-1] != table:
            raise ValueError("its records do not fit their table")
        self.arrays = lru_cache(KEPT_VIEWS)(self._views)

    def _views(self, index: int) -> dict[str, np.ndarray]:
        n_atoms, n_edges, *_ = self.sizes[index].tolist()
        lengths: dict[Axis, int] = {"G": 1, "N": n_atoms, "E": n_edges}
        start, arrays = int(self._starts[:-1][index]), {}
        for name, field in STORED.items():
            shape = field.sizes(lengths)
            arrays[name] = np.frombuffer(self._bytes, field.stored, math.prod(shape), start).reshape(shape)
            start += arrays[name].nbytes
        return arrays


def _record_bytes(n_atoms: np.ndarray, n_edges: np.ndarray) -> np.ndarray:
    """Size of the records of graphs with so many atoms and edges."""
    lengths: dict[Axis, Any] = {"G": 1, "N": n_atoms, "E": n_edges}
    total = sum(np.dtype(field.stored).itemsize * math.prod(field.sizes(lengths)) for field in STORED.values())
    return -(-total // ALIGNMENT) * ALIGNMENT


class GraphSet(LazySequence[AtomicGraph]):
    """Graphs of a data set in some order, each made or read when it is asked for, with its frame number.

    arrays: gives the fields of a row, of the type in memory or in the file; sizes: a row of SIZES for each graph;
    frames: the frame number of each; rows: the row of each, by default its position.
    """

    def __init__(
        self,
        arrays: Callable[[int], Mapping[str, np.ndarray]],
        sizes: np.ndarray,
        frames: np.ndarray,
        rows: np.ndarray | None = None,
    ) -> None:
        self.sizes, self.frames = sizes, frames
        self._arrays, self._rows = arrays, np.arange(len(sizes)) if rows is None else rows

    def select(self, positions: Sequence[int]) -> GraphSet:
        """The graphs at ``positions``, in that order."""
        chosen = np.asarray(positions, dtype=np.int64)
        return GraphSet(self._arrays, self.sizes[chosen], self.frames[chosen], self._rows[chosen])

    def __len__(self) -> int:
        return len(self._rows)

    def item(self, index: int) -> AtomicGraph:
        """The graph at a position."""
        # astype copies: a graph owns its memory, and what is done to it never reaches the file
        own = {name: array.astype(GRAPH_FIELDS[name].dtype) for name, array in self._fields(index).items()}
        return AtomicGraph.from_arrays(own)

    def __getitems__(self, indices: Sequence[int]) -> list[Mapping[str, np.ndarray]]:
        """What torch's loader asks for in one batch: fields for ``join``, which makes their only copy."""
        return [self._fields(index) for index in indices]

    def _fields(self, index: int) -> Mapping[str, np.ndarray]:
        return {**self._arrays(int(self._rows[index])), "frame": self.frames[index : index + 1]}
