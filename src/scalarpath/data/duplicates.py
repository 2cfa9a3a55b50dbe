"""Structures that occur twice: a frame of the train split that is met again at test time makes the test worthless."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from scalarpath.core.errors import DataError
from scalarpath.data.reading import Frame

ROUNDING = 5  # decimals of Å: text files rarely keep more


def structure_hash(atoms: Atoms) -> str:
    """Hash of species, cell, periodicity and positions (rounded to 1e-5 Å), without labels."""
    digest = hashlib.sha256()
    digest.update(np.asarray(atoms.numbers, dtype="<i8").tobytes())
    digest.update(np.asarray(atoms.pbc, dtype=bool).tobytes())
    for array in (atoms.cell.array, atoms.get_positions()):
        # adding zero turns -0.0 into 0.0, which has other bytes
        digest.update((np.round(array, ROUNDING) + 0.0).astype("<f8").tobytes())
    return digest.hexdigest()


def check_no_leak(frames: Sequence[Frame], splits: Mapping[str, Sequence[int]]) -> None:
    """Raise DataError if two frames with the same structure lie in different splits."""
    seen: dict[str, tuple[str, int]] = {}
    leaks = []
    for split, indices in splits.items():
        for i in indices:
            other, j = seen.setdefault(structure_hash(frames[i].atoms), (split, i))
            if other != split:
                leaks.append((frames[j].where, other, frames[i].where, split))
    if leaks:
        first, split_first, second, split_second = leaks[0]
        more = f" ({len(leaks)} such pairs)" if len(leaks) > 1 else ""
        raise DataError(
            f"{second}: this {split_second} structure is also in {split_first} ({first}){more}; "
            "remove the duplicated frames."
        )
