"""What the audit keeps of every frame, gathered in one pass: the frames may be more than memory holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from scalarpath.core.quantities import QUANTITIES
from scalarpath.data.labels import Labels
from scalarpath.data.reading import Frame

FLAT = 1e-6  # Å^3
# NaN where the label is missing
_FACTS = np.dtype(
    [
        ("atoms", "i8"),
        ("file", "i8"),  # index into Facts.files
        ("order", "i8"),  # the same for frames with the same elements in the same order and the same periodicity
        ("composition", "i8"),  # index into Facts.compositions
        ("periodic", "?"),  # in all directions
        ("volume", "f8"),  # Å^3, of periodic frames; NaN without a cell
        ("sound", "?"),  # positions and cell are finite, and a periodic cell is not flat
        ("dropped_stress", "?"),
        ("ordered_stress", "?"),
        ("masked", "i8"),  # atoms without a force in a frame with forces
        ("free_energy_gap", "f8"),  # eV, |free energy - energy|; NaN without a free energy
        ("largest_force", "f8"),
        ("net_force", "f8"),
        *((name, "f8", 2) for name in QUANTITIES),  # smallest and largest component
    ]
)


@dataclass(frozen=True)
class Facts:
    """A record of every frame, what its fields point to, and the atoms of every element.

    frames: [n] records of the fields above; compositions: atoms of an element by atomic number.
    """

    frames: np.ndarray
    files: list[str]
    compositions: list[dict[int, int]]
    elements: dict[int, int]

    def __getitem__(self, name: str) -> np.ndarray:
        """One field of all frames."""
        return self.frames[name]

    def reduced_compositions(self) -> np.ndarray:
        """[n] numbers: the same for frames with the same ratios of elements."""
        known: dict[tuple[int, ...], int] = {}
        number = [known.setdefault(ratio_of_elements(counts), len(known)) for counts in self.compositions]
        return np.array(number)[self.frames["composition"]]


def count_elements(atoms: Atoms) -> dict[int, int]:
    """Numbers of atoms by atomic number, in this order."""
    species, counts = np.unique(atoms.numbers, return_counts=True)
    return dict(zip(species.tolist(), counts.tolist(), strict=True))


def ratio_of_elements(counts: Mapping[int, int]) -> tuple[int, ...]:
    """Atomic numbers and the smallest whole numbers of atoms: the same for cells of one composition."""
    divisor = math.gcd(*counts.values())
    return tuple(x for z, n in counts.items() for x in (z, n // divisor))


def gather(frames: Sequence[Frame], labels: Sequence[Labels]) -> Facts:
    """Facts of all frames, each frame being met once."""
    files: dict[str, int] = {}
    orders: dict[bytes, int] = {}
    compositions: dict[tuple[tuple[int, int], ...], int] = {}
    elements: Counter[int] = Counter()
    records = np.empty(len(frames), dtype=_FACTS)
    for i, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        atoms = frame.atoms
        counts = count_elements(atoms)
        composition = tuple(counts.items())
        elements.update(counts)
        results = getattr(atoms.calc, "results", {})
        free, pbc = results.get("free_energy"), np.asarray(atoms.pbc, dtype=bool)
        volume = abs(np.linalg.det(atoms.cell.complete().array)) if np.isfinite(atoms.cell.array).all() else np.nan
        sizes = np.linalg.norm(label.forces, axis=1)
        records[i] = (
            len(atoms),
            files.setdefault(frame.file, len(files)),
            orders.setdefault(atoms.numbers.tobytes() + pbc.tobytes(), len(orders)),
            compositions.setdefault(composition, len(compositions)),
            pbc.all(),
            volume if pbc.all() and volume > FLAT else np.nan,
            np.isfinite(atoms.positions).all() and np.isfinite(volume) and (not pbc.any() or volume > FLAT),
            label.dropped_stress,
            label.ordered_stress,
            int(np.isnan(label.forces).any(axis=1).sum()) if label.has("forces") else 0,
            abs(free - results.get("energy", free)) if free else np.nan,
            # a force may be missing for some of the atoms
            np.nan if np.isnan(sizes).all() else np.nanmax(sizes),
            np.linalg.norm(label.forces.sum(axis=0)),
            *(_range(label.of(name)) for name in QUANTITIES),
        )
    return Facts(records, list(files), [dict(c) for c in compositions], dict(sorted(elements.items())))


def largest(values: np.ndarray) -> int | None:
    """Index of the largest value, None if all are missing."""
    return None if np.isnan(values).all() else int(np.nanargmax(values))


def _range(values: np.ndarray) -> tuple[float, float]:
    known = np.asarray(values)[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (np.nan, np.nan)
