"""Pairs of frames that hardly differ, with the change of the energy and the work of forces and stress between them.

For two frames with the same atoms let g be the slope of the energy along the straight way from the first to the second,
in fractional coordinates and cell: g = -sum_i f_i . (ds_i h) + V tr(sigma h^-1 dh). The energy then changes by the mean
of g at both ends, up to a term of the third order in the step (trapezoidal rule).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from scipy.spatial.distance import cdist

from scalarpath.data.audit.facts import Facts
from scalarpath.data.labels import Labels
from scalarpath.data.reading import Frame

CLOSE = 0.25  # Å between two frames; the third order reaches a tenth of the work there
SAME_CELL = 1e-3  # strain below which stress does next to no work
NEIGHBOURS = 2  # pairs that every frame begins, to others of the same cell and of another one
MOST_FRAMES = 1500  # that are compared with each other
MOST_NUMBERS = 3e6  # coordinates of such frames, which are held in memory
MOST_PRODUCTS = 5e8  # of coordinates; half a second
WINDOW = 16  # frames of a long trajectory are taken in runs of so many, since neighbours in time are close


class ClosePairs(NamedTuple):
    """P pairs of close frames; work is in eV and NaN where a label is missing.

    frames: [P, 2] indices; atoms: [P]; distance: [P] Å, root mean square over the atoms, a strain counting as the
    displacement of the nearest atoms; strain: [P]; energy: [P] change in eV; forces, stress: [P] work in eV as the
    module says; bend: [P] change of g from end to end, eV; stiffness: [P] |change of forces| / |change of positions|
    in eV/Å^2.
    """

    frames: np.ndarray
    atoms: np.ndarray
    distance: np.ndarray
    strain: np.ndarray
    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    bend: np.ndarray
    stiffness: np.ndarray

    def where(self, chosen: np.ndarray) -> ClosePairs:
        """Some of the pairs."""
        return ClosePairs(*(values[chosen] for values in self))


def close_pairs(frames: Sequence[Frame], labels: Sequence[Labels], facts: Facts) -> ClosePairs:
    """The pairs of close frames of one file, with energy and forces, of atoms in the same order."""
    labelled = np.isfinite(facts["energy"][:, 0]) & np.isfinite(facts["net_force"])
    usable = labelled & facts["sound"] & (facts["atoms"] > 1)
    found = [ClosePairs(np.empty((0, 2), dtype=int), *np.empty((8, 0)))]
    left = MOST_FRAMES
    for indices in _alike(np.flatnonzero(usable), facts):
        chosen = _sample(indices, int(facts["atoms"][indices[0]]), left)
        left -= len(chosen)
        if len(chosen) > 1:
            found.append(_pairs(chosen, [frames[i].atoms for i in chosen], [labels[i] for i in chosen]))
    return ClosePairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _alike(indices: np.ndarray, facts: Facts) -> list[np.ndarray]:
    """The indices, parted by file and order of the atoms; many first."""
    _, kind = np.unique(facts.frames[["file", "order"]][indices], return_inverse=True)
    parts = np.split(indices[np.argsort(kind, kind="stable")], np.cumsum(np.bincount(kind))[:-1])
    return sorted(parts, key=len, reverse=True) if indices.size else []


def _sample(indices: np.ndarray, n_atoms: int, most: int) -> np.ndarray:
    """All indices, or evenly spaced runs of them where they are too many to be compared."""
    most = int(min(most, MOST_NUMBERS / n_atoms, (MOST_PRODUCTS / n_atoms) ** 0.5))
    if len(indices) <= most:
        return indices
    run = min(WINDOW, most)
    starts = np.linspace(0, len(indices) - run, most // max(1, run)).astype(int)
    return indices[np.unique(starts[:, None] + np.arange(run))]


def _pairs(indices: np.ndarray, atoms: Sequence[Atoms], labels: Sequence[Labels]) -> ClosePairs:
    """Pairs among frames of the same atoms."""
    n, pbc = len(atoms[0]), np.asarray(atoms[0].pbc, dtype=bool)
    energies, forces = np.array([label.energy for label in labels]), np.array([label.forces for label in labels])
    if pbc.any():
        cells = np.array([one.cell.complete().array for one in atoms])
        scaled = np.array([one.positions for one in atoms]) @ np.linalg.inv(cells)
        scaled -= np.round(scaled - scaled[0]) * pbc
        scaled -= scaled.mean(axis=1, keepdims=True)
    else:
        cells = np.tile(np.eye(3), (len(atoms), 1, 1))
        scaled = np.array([one.positions - one.positions.mean(axis=0) for one in atoms])
        turns = _turns(scaled, scaled[0])
        scaled, forces = scaled @ turns, forces @ turns
    mean_cell = cells.mean(axis=0)
    shift = cdist(*2 * [(scaled @ mean_cell).reshape(len(atoms), -1)]) / n**0.5
    strain = cdist(*2 * [(np.linalg.inv(mean_cell) @ cells).reshape(len(atoms), -1)]) / 3**0.5
    spacing = abs(np.linalg.det(mean_cell) / n) ** (1 / 3) if pbc.any() else 0.0
    distance = np.hypot(shift, spacing * strain, out=shift)  # in place: three such arrays are all that is ever held
    near = {*_nearest(distance, strain < SAME_CELL), *_nearest(distance, strain >= SAME_CELL)}
    first, second = np.array(sorted(near), dtype=int).reshape(-1, 2).T
    step = scaled[second] - scaled[first]
    step -= np.round(step) * pbc
    step -= step.mean(axis=1, keepdims=True)
    change = cells[second] - cells[first]
    stress = np.array([label.stress for label in labels])
    force_slope, stress_slope = np.zeros((2, 2, len(first)))
    for k, end in enumerate((first, second)):
        force_slope[k] = -np.einsum("pia,pia->p", forces[end], step @ cells[end])
        strained = np.linalg.solve(cells[end], change)
        stress_slope[k] = abs(np.linalg.det(cells[end])) * np.einsum("pab,pba->p", stress[end], strained)
    moved = np.linalg.norm(step @ mean_cell, axis=(1, 2))
    return ClosePairs(
        frames=np.stack([indices[first], indices[second]], axis=1),
        atoms=np.full(len(first), float(n)),
        distance=distance[first, second],
        strain=strain[first, second],
        energy=energies[second] - energies[first],
        forces=force_slope.mean(axis=0),
        stress=stress_slope.mean(axis=0),
        bend=np.diff(force_slope + np.nan_to_num(stress_slope), axis=0)[0],
        stiffness=np.linalg.norm(forces[second] - forces[first], axis=(1, 2)) / np.maximum(moved, 1e-9),
    )


def _nearest(distance: np.ndarray, allowed: np.ndarray) -> Iterator[tuple[int, int]]:
    """The nearest allowed partners of every frame that are close, the smaller index first."""
    for i in range(len(distance)):
        row = np.where(allowed[i], distance[i], np.inf)
        row[i] = np.inf
        for j in np.argpartition(row, min(NEIGHBOURS, len(row) - 1))[:NEIGHBOURS].tolist():
            if row[j] <= CLOSE:
                yield min(i, j), max(i, j)


def _turns(positions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Rotations [k, 3, 3], to be multiplied from the right, of molecules [k, n, 3] onto ``reference`` (Kabsch)."""
    left, _, right = np.linalg.svd(np.einsum("kia,ib->kab", positions, reference))
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return left @ right
