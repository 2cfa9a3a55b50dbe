"""The graph of one structure, or of a batch of structures, with its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch_geometric.data import Batch, Data

from scalarpath.graph.fields import GRAPH_FIELDS, LABELS, Axis, fields_table
from scalarpath.graph.neighbours import NeighbourList, neighbour_list


class AtomicGraph(Data):  # type: ignore[misc]
    """One structure as a graph (G = 1) of N atoms and E directed edges. Missing labels are NaN, never zero.

    In a batch of G structures (``collate``) the axes G, N and E are joined, and it has P undirected pairs of edges. Its
    plain integer ``max_degree``, the largest number of neighbours of any atom, spares the device a synchronisation.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """What torch_geometric adds to the values of the next graph of a batch."""
        counts_edges = key in GRAPH_FIELDS and GRAPH_FIELDS[key].counts == "E"
        return self.num_edges if counts_edges else super().__inc__(key, value, *args, **kwargs)

    @classmethod
    def from_atoms(
        cls, atoms: Atoms, cutoff: float, *, frame: int = 0, where: str = "the structure", **labels: Any
    ) -> AtomicGraph:
        """Graph of ``atoms`` with all neighbours within ``cutoff`` (Å).

        Labels are energy (eV), forces (eV/Å) and stress (3x3, eV/Å^3), or None. ``where`` names the structure in
        errors; raises GraphError as ``neighbour_list`` does.
        """
        return cls.from_arrays(graph_arrays(atoms, neighbour_list(atoms, cutoff, where), frame=frame, **labels))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> AtomicGraph:
        """Graph of its fields, whose memory it shares."""
        return cls(**{name: torch.from_numpy(array) for name, array in arrays.items()})


AtomicGraph.__doc__ = f"{AtomicGraph.__doc__}\n{fields_table()}\n"


def graph_arrays(atoms: Atoms, neighbours: NeighbourList, *, frame: int = 0, **labels: Any) -> dict[str, np.ndarray]:
    """The fields of the graph of ``atoms`` with these neighbours; labels as in ``AtomicGraph.from_atoms``."""
    if not labels.keys() <= set(LABELS):
        raise TypeError(f"labels of a graph are {', '.join(LABELS)}, not {', '.join(labels)}")
    centre = neighbours.edge_index[0]
    first_edge = np.searchsorted(centre, np.arange(len(atoms)))
    values = {
        "z": atoms.numbers,
        "pos": atoms.positions,
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
        "edge_index": neighbours.edge_index,
        "edge_shift": neighbours.edge_shift,
        "edge_slot": np.arange(centre.size) - first_edge[centre],
        "edge_reverse": neighbours.edge_reverse,
        "frame": frame,
        **{name: np.nan if labels.get(name) is None else labels[name] for name in LABELS},
    }
    lengths: dict[Axis, int] = {"G": 1, "N": len(atoms), "E": centre.size}
    arrays = {name: np.empty(field.sizes(lengths), field.dtype) for name, field in GRAPH_FIELDS.items()}
    for name, array in arrays.items():
        array[...] = values[name]
    return arrays


def collate(graphs: Sequence[AtomicGraph]) -> Batch:
    """Join graphs into one batch (see AtomicGraph for its fields)."""
    return join([{name: graph[name].numpy() for name in GRAPH_FIELDS} for graph in graphs])


def join(parts: Sequence[Mapping[str, np.ndarray]]) -> Batch:
    """Join the fields of graphs, of their own or a narrower type, into one batch.

    Written out for these fields: the general ``Batch.from_data_list`` takes several times as long, and a training step
    on small structures waits for it. NumPy takes half the time of torch for arrays of this size, and changes the type
    on the way.
    """
    atoms = np.array([part["z"].shape[0] for part in parts])
    edges = np.array([part["edge_index"].shape[1] for part in parts])
    ptr = np.concatenate([[0], atoms.cumsum()])
    before = {"N": ptr[:-1].repeat(edges), "E": (edges.cumsum() - edges).repeat(edges)}
    joined = {
        name: np.concatenate([part[name] for part in parts], field.axis, dtype=field.dtype)
        for name, field in GRAPH_FIELDS.items()
    }
    for name, field in GRAPH_FIELDS.items():
        if field.counts:
            joined[name] += before[field.counts]
    edge_pair, pair_edge = _undirected_pairs(joined["edge_reverse"])
    arrays = {
        **joined,
        "batch": np.arange(len(parts)).repeat(atoms),
        "ptr": ptr,
        "edge_pair": edge_pair,
        "pair_edge": pair_edge,
    }
    return Batch(
        **{name: torch.from_numpy(array) for name, array in arrays.items()},
        max_degree=int(joined["edge_slot"].max(initial=-1)) + 1,
    )


def _undirected_pairs(edge_reverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair of every edge [E] and the first edge of every pair [P], from the reverse of every edge [E]."""
    every = np.arange(edge_reverse.size)
    first = np.flatnonzero(every < edge_reverse)
    pair = np.empty_like(every)
    pair[first] = pair[edge_reverse[first]] = every[: first.size]
    return pair, first
