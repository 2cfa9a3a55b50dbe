"""Graphs kept on disk by content, so that a neighbour list is made once."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from scalarpath.data.labels import Labels
from scalarpath.data.reading import Frame
from scalarpath.graph import AtomicGraph

logger = logging.getLogger(__name__)

FORMAT = 1  # raise it whenever AtomicGraph or the neighbour list changes meaning
PER_ATOM = ("z", "pos", "forces")
PER_EDGE = ("edge_index", "edge_shift", "edge_slot")
PER_FRAME = ("cell", "pbc", "energy", "stress")
# neighbours and cell shifts are small integers: stored narrow, widened on reading
NARROW = {"edge_index": torch.int32, "edge_shift": torch.int16, "edge_slot": torch.int32, "z": torch.int16}
WIDE = {"edge_index": torch.int64, "edge_shift": torch.float64, "edge_slot": torch.int64, "z": torch.int64}


def content_hash(frames: Sequence[Frame], labels: Sequence[Labels], extra: Iterable[object] = ()) -> str:
    """SHA-256 of structures and labels in their order, and of ``extra`` (such as the cutoff); not of file names."""
    digest = hashlib.sha256(repr(tuple(extra)).encode())
    for frame, label in zip(frames, labels, strict=True):
        atoms = frame.atoms
        digest.update(np.asarray([len(atoms), *atoms.numbers], dtype="<i8").tobytes())
        digest.update(np.asarray(atoms.pbc, dtype=bool).tobytes())
        for array in (atoms.cell.array, atoms.get_positions(), label.energy, label.forces, label.stress):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


def build_graphs(
    frames: Sequence[Frame],
    labels: Sequence[Labels],
    indices: Sequence[int],
    cutoff: float,
    directory: Path | None,
) -> list[AtomicGraph]:
    """Graphs of the frames ``indices``, in that order, from the cache in ``directory`` or fresh (None: no cache).

    A folder that cannot be written costs a warning, a damaged file is made again. Raises GraphError naming the frame.
    """
    chosen, chosen_labels = [frames[i] for i in indices], [labels[i] for i in indices]
    path = None
    if directory is not None:
        path = directory / f"graphs-{content_hash(chosen, chosen_labels, ('graphs', FORMAT, float(cutoff)))}.pt"
    graphs = _load(path) if path is not None and path.is_file() else None
    if graphs is None:
        graphs = [
            AtomicGraph.from_atoms(
                frame.atoms,
                cutoff,
                energy=label.energy,
                forces=label.forces,
                stress=label.stress,
                where=frame.where,
            )
            for frame, label in zip(chosen, chosen_labels, strict=True)
        ]
        if path is not None:
            _save(graphs, path)
    for graph, i in zip(graphs, indices, strict=True):
        graph.frame = torch.tensor([i])
    return graphs


def _save(graphs: Sequence[AtomicGraph], path: Path) -> None:
    content: dict[str, torch.Tensor] = {
        "atoms": torch.tensor([graph.z.numel() for graph in graphs]),
        "edges": torch.tensor([graph.edge_index.shape[1] for graph in graphs]),
    }
    for key in PER_ATOM + PER_EDGE + PER_FRAME:
        joined = torch.cat([graph[key] for graph in graphs], dim=1 if key == "edge_index" else 0)
        content[key] = joined.to(NARROW.get(key, joined.dtype))
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as stream:
            temporary = stream.name
            torch.save(content, stream)
        os.replace(temporary, path)  # readers see the whole file or none
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        logger.warning(
            "%s: graphs cannot be cached there (%s); the run goes on without, or set data.cache_dir.",
            path.parent,
            error,
        )


def _load(path: Path) -> list[AtomicGraph] | None:
    try:
        content = torch.load(path, weights_only=True)
        n_atoms, n_edges = content["atoms"].tolist(), content["edges"].tolist()
        parts: dict[str, Sequence[torch.Tensor]] = {}
        for key in PER_ATOM + PER_EDGE + PER_FRAME:
            sizes = n_atoms if key in PER_ATOM else n_edges if key in PER_EDGE else [1] * len(n_atoms)
            tensor = content[key].to(WIDE.get(key, content[key].dtype))
            parts[key] = tensor.split(sizes, dim=1 if key == "edge_index" else 0)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        logger.warning("%s: the cached graphs cannot be read (%s); they are made again.", path, type(error).__name__)
        return None
    return [
        # clones, because a slice would keep the whole data set alive
        AtomicGraph(**{key: part[i].clone() for key, part in parts.items()}, num_nodes=n)
        for i, n in enumerate(n_atoms)
    ]
