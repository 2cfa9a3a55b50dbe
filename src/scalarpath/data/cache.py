"""Graphs kept on disk by content, so that a neighbour list is made once."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.termination import is_alive
from scalarpath.data.graph_file import SIZES, STORED, GraphFile, GraphSet, graph_sizes, write_graphs
from scalarpath.data.labels import PLAIN, Labels
from scalarpath.data.reading import Frame
from scalarpath.graph import AtomicGraph

logger = logging.getLogger(__name__)

FORMAT = 4  # raise it whenever AtomicGraph, the neighbour list or the layout of the file changes meaning


def content_hash(frames: Sequence[Frame], labels: Sequence[Labels]) -> str:
    """SHA-256 of structures and labels in their order; not of file names.

    A plain quantity that a frame does not carry leaves no trace: the hash of a run stays when quantities are added.
    """
    digest = hashlib.sha256(b"()")
    for frame, label in zip(frames, labels, strict=True):
        atoms = frame.atoms
        digest.update(np.asarray([len(atoms), *atoms.numbers], dtype="<i8").tobytes())
        digest.update(np.asarray(atoms.pbc, dtype=bool).tobytes())
        for array in (atoms.cell.array, atoms.get_positions(), label.energy, label.forces, label.stress):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        for name in filter(label.has, PLAIN):
            digest.update(name.encode() + np.ascontiguousarray(label.of(name), dtype="<f8").tobytes())
    return digest.hexdigest()


def build_graphs(
    frames: Sequence[Frame],
    labels: Sequence[Labels],
    indices: Sequence[int],
    cutoff: float,
    data_hash: str,
    directory: Path | None,
) -> GraphSet:
    """Graphs of the frames ``indices``, in that order, read from a file in ``directory``, which is made if need be.

    The file belongs to ``data_hash`` (the content hash of all ``frames`` and ``labels``), ``indices``, ``cutoff`` and
    the quantities that it holds.
    Without a directory, or in one that cannot be written (which costs a warning), the graphs are kept in memory. A
    damaged file is made again. Raises GraphError naming the frame.
    """
    numbers = np.asarray(indices, dtype=np.int64)
    if directory is not None:
        key = repr((FORMAT, *PLAIN, data_hash, float(cutoff))).encode() + numbers.astype("<i8").tobytes()
        path = directory / f"graphs-{hashlib.sha256(key).hexdigest()}.bin"
        file = _open(path)
        if file is None and _write(path, _fresh(frames, labels, indices, cutoff)):
            file = GraphFile(path)
        if file is not None:
            return GraphSet(file.arrays, file.sizes, numbers)
    graphs = list(_fresh(frames, labels, indices, cutoff))
    kept = [{name: graph[name].numpy() for name in STORED} for graph in graphs]
    return GraphSet(kept.__getitem__, np.array([graph_sizes(graph) for graph in graphs], dtype=SIZES), numbers)


def _fresh(
    frames: Sequence[Frame], labels: Sequence[Labels], indices: Sequence[int], cutoff: float
) -> Iterator[AtomicGraph]:
    for i in indices:
        frame, label = frames[i], labels[i]
        values = {name: label.of(name) for name in QUANTITIES}
        yield AtomicGraph.from_atoms(frame.atoms, cutoff, where=frame.where, **values)


def _open(path: Path) -> GraphFile | None:
    try:
        return GraphFile(path) if path.is_file() else None
    except (OSError, ValueError) as error:
        logger.warning("%s: the cached graphs cannot be read (%s); they are made again.", path, error)
        return None


def _write(path: Path, graphs: Iterable[AtomicGraph]) -> bool:
    here = f"-{socket.gethostname()}-"  # whose files these are, so that those of a killed process can be told
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_overs(path.parent, here)
        prefix = f"graphs{here}{os.getpid()}-"
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=".tmp", delete=False) as stream:
            temporary = Path(stream.name)
            write_graphs(stream, graphs)  # type: ignore[arg-type]
        os.replace(temporary, path)  # readers see the whole file or none
    except OSError as error:
        logger.warning(
            "%s: graphs cannot be cached there (%s); they are kept in memory, or set data.cache_dir.",
            path.parent,
            error,
        )
        return False
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return True


def _remove_left_overs(directory: Path, here: str) -> None:
    """Remove the half-written files of processes of this machine that are gone."""
    for file in directory.glob(f"graphs{glob.escape(here)}*.tmp"):
        pid = file.name.removeprefix(f"graphs{here}").partition("-")[0]
        if pid.isdigit() and not is_alive(int(pid)):
            with suppress(OSError):
                file.unlink()
