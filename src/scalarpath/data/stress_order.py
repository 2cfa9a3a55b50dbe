"""Does the order in which six numbers of a stress are read fit the symmetry of the structures?

A symmetry of a structure is one of its stress too: R s R^T = s. Numbers in another order break that wherever a sheared
cell has symmetry left, as those from which elastic constants are made.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import spglib
from ase import Atoms

from scalarpath.core.units import STRESS_ORDERS
from scalarpath.data.labels import Labels, numbers_of, tensor_of
from scalarpath.data.reading import Frame

SYMPREC = 1e-3  # Å; thermal displacements are larger, so such frames have no symmetry
MOST_ATOMS = 200  # larger cells take long and are hardly ever symmetric
MOST_FRAMES = 500
# share of the shear stress that symmetry forbids: of a wrong order at least, of a right one at most
BROKEN, KEPT = 0.3, 0.1


def fitting_orders(frames: Sequence[Frame], labels: Sequence[Labels], order: str) -> list[str]:
    """Those of STRESS_ORDERS that fit the symmetry of the frames; none if it tells nothing about ``order``.

    ``order`` is the one in which the stresses of ``labels`` have been read. Two may fit, where all frames are sheared
    in the same plane.
    """
    broken, shear = dict.fromkeys(STRESS_ORDERS, 0.0), 0.0
    ordered = [i for i, label in enumerate(labels) if label.ordered_stress and len(frames[i].atoms) <= MOST_ATOMS]
    for i in ordered[:: -(-len(ordered) // MOST_FRAMES) or 1]:
        if not is_sound(frames[i].atoms):
            continue
        operations = rotations(frames[i].atoms)
        if all(np.allclose(abs(operation), np.eye(3)) and abs(np.trace(operation)) > 2 for operation in operations):
            continue  # every tensor has these
        numbers = numbers_of(labels[i].stress, order)
        shear += float((numbers[3:] ** 2).sum())
        for name in STRESS_ORDERS:
            stress = tensor_of(numbers, name)
            allowed = np.mean([operation @ stress @ operation.T for operation in operations], axis=0)
            broken[name] += float(((stress - allowed) ** 2).sum()) / 2
    share = {name: np.sqrt(value / shear) if shear > 0 else np.nan for name, value in broken.items()}
    told = share[order] > BROKEN or (share[order] < KEPT and max(share.values()) > BROKEN)
    return [name for name, value in share.items() if told and value < KEPT]


def is_sound(atoms: Atoms) -> bool:
    """Whether positions and cell are numbers that a search for symmetry can take; others stop the neighbour search."""
    values = np.concatenate([atoms.positions.ravel(), atoms.cell.array.ravel()])
    return bool(np.isfinite(values).all() and abs(values).max() < 1e6 and abs(np.linalg.det(atoms.cell.array)) > 1e-3)


def rotations(atoms: Atoms) -> list[np.ndarray]:
    """The rotations and reflections [3, 3] of a crystal's point group, in Cartesian axes; those that spglib finds."""
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 announces how errors of spglib 3 will come
            found = spglib.get_symmetry(cell, symprec=SYMPREC)
    except spglib.SpglibError:
        found = None
    if found is None:  # atoms on top of each other, for which the neighbour search has a sentence
        return [np.eye(3)]
    axes = atoms.cell.array.T
    return [axes @ rotation @ np.linalg.inv(axes) for rotation in np.unique(found["rotations"], axis=0)]
