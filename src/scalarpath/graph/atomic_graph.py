"""The graph of one structure, or of a batch of structures, with its labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch_geometric.data import Batch, Data

from scalarpath.graph.neighbours import neighbour_list
from scalarpath.graph.pairs import undirected_pairs

JOINED = ("z", "pos", "cell", "pbc", "edge_shift", "edge_slot", "energy", "forces", "stress", "frame")


class AtomicGraph(Data):
    """One structure as a graph (N atoms, E directed edges). Missing labels are NaN, never zero.

    ==============  ==========  =======  ======================================================
    key             shape       dtype    meaning and unit
    ==============  ==========  =======  ======================================================
    z               [N]         int64    atomic numbers
    pos             [N, 3]      float64  positions, Å
    cell            [1, 3, 3]   float64  cell vectors as rows, Å (zeros without a cell)
    pbc             [1, 3]      bool     periodic directions
    edge_index      [2, E]      int64    row 0: centre i (sorted), row 1: neighbour j
    edge_shift      [E, 3]      float64  cell shifts S: vec_ij = pos[j] - pos[i] + S @ cell
    edge_slot       [E]         int64    running number of the edge among those of its centre
    edge_reverse    [E]         int64    which edge is j -> i with the opposite shift
    energy          [1]         float64  label, eV
    forces          [N, 3]      float64  label, eV/Å
    stress          [1, 3, 3]   float64  label, eV/Å^3, tension positive
    frame           [1]         int64    position of the frame in its data set
    ==============  ==========  =======  ======================================================

    In a batch the first axis is concatenated, ``batch`` [N] maps atoms to structures, and the plain integers
    ``num_graphs`` and ``max_degree`` (largest number of neighbours of any atom) spare the device a synchronisation.
    ``edge_pair`` [E] and ``pair_edge`` [P] say which edges are the two directions of one pair (``undirected_pairs``).
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """What torch_geometric adds to the values of the next graph of a batch."""
        return self.edge_index.shape[1] if key == "edge_reverse" else super().__inc__(key, value, *args, **kwargs)

    @classmethod
    def from_atoms(
        cls,
        atoms: Atoms,
        cutoff: float,
        *,
        energy: float = float("nan"),
        forces: np.ndarray | None = None,
        stress: np.ndarray | None = None,
        frame: int = 0,
        where: str = "the structure",
    ) -> AtomicGraph:
        """Graph of ``atoms`` with all neighbours within ``cutoff`` (Å); labels in eV, eV/Å, eV/Å^3 (stress 3x3)."""
        neighbours = neighbour_list(atoms, cutoff, where)
        n_atoms = len(atoms)
        missing_forces, missing_stress = np.full((n_atoms, 3), np.nan), np.full((3, 3), np.nan)
        centre = neighbours.edge_index[0]
        first_edge = np.searchsorted(centre, np.arange(n_atoms))
        as_float = lambda x: torch.as_tensor(np.asarray(x), dtype=torch.float64)  # noqa: E731
        return cls(
            z=torch.as_tensor(atoms.numbers.astype(np.int64)),
            pos=as_float(atoms.get_positions()),
            cell=as_float(atoms.cell.array)[None],
            pbc=torch.as_tensor(np.asarray(atoms.pbc, dtype=bool))[None],
            edge_index=torch.as_tensor(neighbours.edge_index),
            edge_shift=as_float(neighbours.edge_shift),
            edge_slot=torch.as_tensor(np.arange(centre.size) - first_edge[centre]),
            edge_reverse=torch.as_tensor(neighbours.edge_reverse),
            energy=as_float([energy]),
            forces=as_float(missing_forces if forces is None else forces),
            stress=as_float(missing_stress if stress is None else stress)[None],
            frame=torch.tensor([frame]),
            num_nodes=n_atoms,
        )


def collate(graphs: Sequence[AtomicGraph]) -> Batch:
    """Join graphs into one batch (see AtomicGraph for the keys).

    Written out for these keys: the general ``Batch.from_data_list`` takes several times as long, and a training step on
    small structures waits for it.
    """
    atoms = torch.tensor([graph.z.shape[0] for graph in graphs])
    edges = torch.tensor([graph.edge_index.shape[1] for graph in graphs])
    ptr = torch.cat([atoms.new_zeros(1), atoms.cumsum(0)])
    joined = {key: torch.cat([graph[key] for graph in graphs]) for key in JOINED}
    edge_index = torch.cat([graph.edge_index for graph in graphs], dim=1) + ptr[:-1].repeat_interleave(edges)
    first_edge = (edges.cumsum(0) - edges).repeat_interleave(edges)
    edge_reverse = torch.cat([graph.edge_reverse for graph in graphs]) + first_edge
    number = torch.arange(len(graphs)).repeat_interleave(atoms)
    batch = Batch(
        _base_cls=AtomicGraph, edge_index=edge_index, edge_reverse=edge_reverse, **joined, batch=number, ptr=ptr
    )
    batch.num_nodes, batch._num_graphs = int(ptr[-1]), len(graphs)
    batch.max_degree = int(batch.edge_slot.max()) + 1 if batch.edge_slot.numel() else 0
    batch.edge_pair, batch.pair_edge = undirected_pairs(batch.edge_reverse)
    return batch
