"""Pairs of atoms within a cutoff, periodic images included (vesin)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms

_FIRST_CUTOFF_A = 4.0  # most atoms have a neighbour that is closer


class Pairs(NamedTuple):
    """Pairs i, j [pairs] int64, the vectors from i to j [pairs, 3] and their lengths [pairs], in Å."""

    i: np.ndarray
    j: np.ndarray
    vector: np.ndarray
    distance: np.ndarray


def pairs_within(atoms: Atoms, cutoff: float, *, both_directions: bool = False) -> Pairs:
    """Pairs closer than ``cutoff`` (Å), each once, or from both of its atoms; an atom can pair with its own image."""
    from vesin import NeighborList  # here: it imports torch, which not every user of this module needs

    # vesin wants a full cell even along non-periodic axes
    box = np.asarray(atoms.cell.complete()) if atoms.pbc.any() else np.zeros((3, 3))
    i, j, vector, distance = NeighborList(cutoff=float(cutoff), full_list=both_directions).compute(
        points=atoms.positions, box=box, periodic=np.asarray(atoms.pbc, dtype=bool), quantities="ijDd"
    )
    return Pairs(i.astype(np.int64), j.astype(np.int64), vector, distance)


def nearest_distances(atoms: Atoms) -> np.ndarray:
    """Distance of every atom to the nearest other one, [atoms] in Å; inf for a single atom. Own images do not count."""
    nearest, cutoff = np.full(len(atoms), np.inf), _FIRST_CUTOFF_A
    while len(atoms) > 1 and not np.isfinite(nearest).all():
        pairs = pairs_within(atoms, cutoff)
        other = pairs.i != pairs.j
        for ends in (pairs.i, pairs.j):
            np.minimum.at(nearest, ends[other], pairs.distance[other])
        cutoff *= 1.5
    return nearest


def heights(atoms: Atoms) -> np.ndarray:
    """Distances of opposite faces of the cell, [3] in Å; zeros for a cell without volume."""
    cell = np.asarray(atoms.cell.complete())
    return 1 / np.linalg.norm(np.linalg.inv(cell), axis=0) if np.linalg.det(cell) else np.zeros(3)
