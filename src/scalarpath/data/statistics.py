"""Statistics of the train split that fix a potential's energy scale, shift and neighbour normalisation."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from ase.data import chemical_symbols

from scalarpath.core.errors import DataError
from scalarpath.graph import AtomicGraph

NO_NEIGHBOUR = "no atom of the train split has a neighbour within the cutoff; increase backbone.cutoff."


@dataclass(frozen=True)
class Statistics:
    """Train-split statistics, in float64.

    =================  =======  =====================================================================================
    e0s                eV       reference energy by atomic number
    scale              eV/Å     root mean square of the force components; without forces, or where they are not weighed,
                                standard deviation of the energy per atom left over after E0s (eV)
    shift              eV       mean over atoms of (E - sum E0), that is sum over frames / number of atoms
    avg_num_neighbors           directed edges per atom
    species                     atomic numbers, sorted
    frames, atoms               how many of each the train split has
    energies, forces            how many frames carry a label of that kind, forces of some atoms at least
    =================  =======  =====================================================================================
    """

    e0s: dict[int, float]
    scale: float
    shift: float
    avg_num_neighbors: float
    species: list[int]
    frames: int
    atoms: int
    energies: int
    forces: int

    def to_json(self) -> dict[str, Any]:
        """Plain values; E0s by element symbol."""
        return {**asdict(self), "e0s": {chemical_symbols[z]: energy for z, energy in self.e0s.items()}}


def train_statistics(
    graphs: Iterable[AtomicGraph], e0s: Mapping[int, float], weighed: Collection[str] = ("energy", "forces")
) -> Statistics:
    """Statistics of the train graphs, read once and one by one; missing (NaN) labels are left out.

    ``weighed``: the labels that the loss weighs; others may be wrong, and set no scale if there is a choice.
    Raises DataError if no atom has a neighbour, or if all labels are alike so that no scale can be set.
    """
    n_frames = n_atoms = n_edges = n_forces = n_components = 0
    squares, species = 0.0, set[int]()
    residuals, sizes = [], []
    for graph in graphs:
        n_frames += 1
        n_atoms += graph.z.numel()
        n_edges += graph.edge_index.shape[1]
        species.update(graph.z.unique().tolist())
        known = graph.forces[torch.isfinite(graph.forces)]
        n_forces += known.numel() > 0
        n_components += known.numel()
        squares += float(known.square().sum())
        if torch.isfinite(graph.energy).all():
            residuals.append(float(graph.energy) - sum(e0s[z] for z in graph.z.tolist()))
            sizes.append(graph.z.numel())
    if n_edges == 0:
        raise DataError(NO_NEIGHBOUR)
    residual, size = (torch.tensor(x, dtype=torch.float64) for x in (residuals, sizes))
    by_forces = n_components > 0 and ("forces" in weighed or not sizes)
    scale = math.sqrt(squares / n_components) if by_forces else float((residual / size).std(correction=0))
    if not scale > 1e-10:
        kind = "forces are zero" if by_forces else "energies per atom are equal"
        raise DataError(f"all train {kind}, so there is no scale to learn; add frames that differ.")
    return Statistics(
        e0s=dict(e0s),
        scale=scale,
        shift=float(residual.sum() / size.sum()) if sizes else 0.0,
        avg_num_neighbors=n_edges / n_atoms,
        species=sorted(species),
        frames=n_frames,
        atoms=n_atoms,
        energies=len(sizes),
        forces=n_forces,
    )
