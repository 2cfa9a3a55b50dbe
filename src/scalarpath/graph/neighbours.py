"""Neighbour lists (vesin), sorted by centre."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from ase import Atoms
from vesin import NeighborList

from scalarpath.core.errors import GraphError
from scalarpath.core.memory import memory_of_machine
from scalarpath.core.settings import Cutoff, checked

MIN_DISTANCE = 0.1  # Å; below it two atoms are one atom written twice, and 1/r breaks float32
FARTHEST = 1e6  # Å from the origin; beyond it double precision no longer resolves 1e-10 Å
LARGEST_EXTENT = 1e5  # Å along one axis; the search divides space into boxes, and their number must stay finite
MOST_CELLS = (
    16_000  # from an atom to its periodic cell; differences of two such numbers fit the 16 bits they are stored in
)
MOST_NEIGHBOURS = 10_000  # of one atom, as the density tells: no potential of this kind is meant for more
BYTES_PER_EDGE = 150  # of the arrays of a search


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

    Atoms may lie outside of the periodic cell. Raises ConfigError for a cutoff out of range, and GraphError for
    positions or cells that are not finite, too large or too flat to be meant, for atoms closer than 0.1 Å, and for
    more edges than can be meant or held.
    """
    cutoff = checked(cutoff, Cutoff, "cutoff")
    positions, cell, pbc = atoms.get_positions(), atoms.cell.array, np.asarray(atoms.pbc, dtype=bool)
    if not np.isfinite(positions).all() or not np.isfinite(cell).all():
        raise GraphError(f"{where}: a position or cell vector is not finite; remove or repair this frame.")
    if pbc.any() and np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise GraphError(
            f"{where}: periodic along {pbc.tolist()} but the cell has no extent there; set a cell or pbc=False."
        )
    # vesin wants a full cell even along non-periodic axes
    box = np.asarray(atoms.cell.complete()) if pbc.any() else np.zeros((3, 3))
    _check_cell(box, pbc, where)
    points, cells = _wrapped(positions, box, pbc, where)
    _check_density(points, box, pbc, cutoff, where)
    i, j, shift, distance = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=points, box=box, periodic=pbc, quantities="ijSd"
    )
    i, j = i.astype(np.int64), j.astype(np.int64)
    shift = shift.astype(np.int64) + cells[i] - cells[j]
    if distance.size and distance.min() < MIN_DISTANCE:
        k = int(distance.argmin())
        raise GraphError(
            f"{where}: atoms {i[k]} and {j[k]} are {distance[k]:.3g} Å apart (less than {MIN_DISTANCE} Å); "
            "remove the duplicated atom or this frame."
        )
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], j, i))
    index, shift = np.stack([i[order], j[order]]), shift[order]
    return NeighbourList(index, shift, _reverse(index, shift, where), distance[order])


def cell_heights(cell: np.ndarray) -> np.ndarray:
    """Distances between opposite faces of a cell (vectors as rows), Å: [3], one for every vector.

    NaN for a cell without volume or of absurd size.
    """
    with np.errstate(all="ignore"):
        return abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)


def _check_cell(box: np.ndarray, pbc: np.ndarray, where: str) -> None:
    """Raise GraphError for a periodic cell that is too flat or too long for a search to end."""
    if not pbc.any():
        return
    volume = abs(np.linalg.det(box))
    lengths = np.linalg.norm(box, axis=1)
    heights = cell_heights(box)
    if heights[pbc].min() < MIN_DISTANCE:
        axis = "abc"[int(np.flatnonzero(pbc)[heights[pbc].argmin()])]
        raise GraphError(
            f"{where}: the cell is only {heights[pbc].min():.3g} Å high along {axis} (volume {volume:.3g} Å^3); "
            "repair the cell vectors of this frame."
        )
    if lengths[pbc].max() > LARGEST_EXTENT:
        raise GraphError(
            f"{where}: a cell vector is {lengths[pbc].max():.3g} Å long, more than {LARGEST_EXTENT:.0e} Å; "
            "repair the cell, or set pbc=False along it."
        )


def expected_neighbours(points: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> float:
    """Mean number of neighbours of an atom as the density tells it, without a search.

    The cell repeats along its periodic axes; across them the atoms at ``points`` [N, 3] (Å) reach as far as they do.
    """
    along = cell[pbc]
    across = np.linalg.svd(along, full_matrices=True)[2][len(along) :] if len(along) else np.eye(3)
    reach = np.prod(np.maximum(np.ptp(points @ across.T, axis=0), 1.0)) if len(points) else 1.0
    size = math.sqrt(np.linalg.det(along @ along.T)) if len(along) else 1.0
    sphere = 4 / 3 * np.pi * cutoff**3
    within = min(sphere, reach * (1.0, 2 * cutoff, np.pi * cutoff**2, sphere)[len(along)])
    return float(len(points) / (size * reach) * within)


def _check_density(points: np.ndarray, box: np.ndarray, pbc: np.ndarray, cutoff: float, where: str) -> None:
    """Raise GraphError where the density of the atoms tells that there are too many edges to search for."""
    neighbours = expected_neighbours(points, box, pbc, cutoff)
    if neighbours > MOST_NEIGHBOURS:
        raise GraphError(
            f"{where}: within {cutoff:g} Å an atom has some {neighbours:.3g} neighbours, more than {MOST_NEIGHBOURS}; "
            "lower the cutoff (backbone.cutoff), or repair cell and positions."
        )
    if len(points) * neighbours * BYTES_PER_EDGE > memory_of_machine():
        raise GraphError(
            f"{where}: {len(points)} atoms have some {len(points) * neighbours:.3g} edges within {cutoff:g} Å, more "
            "than this machine has memory for; lower the cutoff (backbone.cutoff), or take a smaller structure."
        )


def _wrapped(positions: np.ndarray, box: np.ndarray, pbc: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions from which the search starts, and by how many cells each atom was moved there: [N, 3], [N, 3] int64.

    Atoms in the cell, or next to it, stay: the search finds their neighbours as they are. It loses those of atoms many
    cells away. Raises GraphError for an atom too far away to be placed exactly, or from the others.
    """
    far = np.abs(positions).max(axis=1, initial=0.0)
    if far.max(initial=0.0) > FARTHEST:
        atom = int(far.argmax())
        raise GraphError(
            f"{where}: atom {atom} lies {far[atom]:.3g} Å from the origin, more than {FARTHEST:.0e} Å; wrap it into "
            "the cell, or remove or repair this frame."
        )
    cells = np.zeros(positions.shape, dtype=np.int64)
    if pbc.any():
        cells[:, pbc] = np.floor(np.linalg.solve(box.T, positions.T).T)[:, pbc]
        away = np.abs(cells).max(axis=1, initial=0)
        if away.max(initial=0) > MOST_CELLS:
            raise GraphError(
                f"{where}: atom {int(away.argmax())} lies {away.max()} cells outside of the periodic cell; wrap the "
                "positions of this frame into the cell."
            )
        if away.max(initial=0) <= 1:
            cells[:] = 0
    points = positions - cells @ box
    extent = np.ptp(points, axis=0).max(initial=0.0) if len(points) else 0.0
    if extent > LARGEST_EXTENT:
        atom = int(np.abs(points - np.median(points, axis=0)).max(axis=1).argmax())
        raise GraphError(
            f"{where}: atom {atom} is {extent:.3g} Å away from others along an axis, more than {LARGEST_EXTENT:.0e} Å; "
            "the structure has flown apart, or this position is damaged."
        )
    return points, cells


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
