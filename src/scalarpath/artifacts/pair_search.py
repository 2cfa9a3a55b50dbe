"""Pairs of atoms within a cutoff, periodic images included (vesin)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms


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
