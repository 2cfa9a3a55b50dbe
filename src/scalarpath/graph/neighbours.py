"""Neighbour lists (vesin), sorted by centre."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from vesin import NeighborList

from scalarpath.core.errors import GraphError

MIN_DISTANCE = 0.1  # Å; below it two atoms are one atom written twice, and 1/r breaks float32


class NeighbourList(NamedTuple):
    """Directed edges of a structure, sorted by centre, then neighbour, then cell shift.

    edge_index: [2, E] int64, row 0 the centre i, row 1 the neighbour j; edge_shift: [E, 3] int64 cell shifts S, so that
    the vector from centre to neighbour is pos[j] - pos[i] + S @ cell; edge_reverse: [E] int64, the edge j -> i with the
    opposite shift; distance: [E] in Å.
    """

    edge_index: np.ndarray
    edge_shift: np.ndarray
    edge_reverse: np.ndarray
    distance: np.ndarray


def neighbour_list(atoms: Atoms, cutoff: float, where: str = "the structure") -> NeighbourList:
    """All directed pairs closer than ``cutoff`` (Å), periodic images included; ``where`` names the frame in errors.

    Raises GraphError for non-finite positions, a periodic cell without volume, or atoms closer than 0.1 Å.
    """
    positions, cell, pbc = atoms.get_positions(), atoms.cell.array, np.asarray(atoms.pbc, dtype=bool)
    if not np.isfinite(positions).all() or not np.isfinite(cell).all():
        raise GraphError(f"{where}: a position or cell vector is not finite; remove or repair this frame.")
    if pbc.any() and np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise GraphError(
            f"{where}: periodic along {pbc.tolist()} but the cell has no extent there; set a cell or pbc=False."
        )
    # vesin wants a full cell even along non-periodic axes
    box = np.asarray(atoms.cell.complete()) if pbc.any() else np.zeros((3, 3))
    i, j, shift, distance = NeighborList(cutoff=float(cutoff), full_list=True).compute(
        points=positions, box=box, periodic=pbc, quantities="ijSd"
    )
    i, j = i.astype(np.int64), j.astype(np.int64)
    shift = shift.astype(np.int64)
    if distance.size and distance.min() < MIN_DISTANCE:
        k = int(distance.argmin())
        raise GraphError(
            f"{where}: atoms {i[k]} and {j[k]} are {distance[k]:.3g} Å apart (less than {MIN_DISTANCE} Å); "
            "remove the duplicated atom or this frame."
        )
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], j, i))
    index, shift = np.stack([i[order], j[order]]), shift[order]
    return NeighbourList(index, shift, _reverse(index, shift, where), distance[order])


def _reverse(index: np.ndarray, shift: np.ndarray, where: str) -> np.ndarray:
    """The edge of the opposite direction of every edge [E]; edges sorted by centre, neighbour and cell shift."""
    largest = np.abs(shift).max(initial=0)
    base, n_atoms = 2 * largest + 1, index.max(initial=0) + 1
    # one number per edge, in the order of the edges; the shift of the reverse has the digits of the opposite one
    digits = (shift + largest) @ np.array([base * base, base, 1])
    forward = (index[0] * n_atoms + index[1]) * base**3 + digits
    backward = (index[1] * n_atoms + index[0]) * base**3 + (base**3 - 1 - digits)
    reverse = np.argsort(backward)
    if not np.array_equal(backward[reverse], forward):
        raise GraphError(f"{where}: the neighbour search found i -> j without j -> i; please report it.")
    return reverse
