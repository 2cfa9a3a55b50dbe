"""E0s: the energy of each element's isolated atom, given, read from isolated-atom frames, or fitted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.labels import Labels
from scalarpath.data.reading import Frame
from scalarpath.graph import neighbour_list

AGREEMENT = 1e-3  # eV; two isolated atoms of an element further apart are a mistake
TOLERANCE = 1e-2  # eV; an isolated atom further from its E0 is an error that no training can mend


def isolated_atom_frames(frames: Sequence[Frame], cutoff: float) -> list[int]:
    """Indices of frames that hold one single atom with no neighbour (nor periodic image) within ``cutoff`` (Å)."""
    single = [i for i, frame in enumerate(frames) if len(frame.atoms) == 1]
    return [i for i in single if not neighbour_list(frames[i].atoms, cutoff, frames[i].where).distance.size]


def reference_energies(
    method: str | Mapping[Any, float],
    frames: Sequence[Frame],
    labels: Sequence[Labels],
    train: Sequence[int],
    cutoff: float,
    *,
    unique: bool = True,
) -> dict[int, float]:
    """E0 in eV by atomic number, for every element of the train frames.

    method: a mapping of symbols (or atomic numbers) to eV; "isolated_atoms"; "least_squares", the energies of isolated
    atoms and, for elements that have none, a fit of the energies to the composition over the train split; or "mean",
    the same mean energy per atom for every element, for sets of one composition where a fit cannot tell elements
    apart. Without any energy label in the train split E0s are zero. Isolated atoms are taken from the train split, and
    only for elements that have none there from the other parts. ``unique`` false: where compositions cannot tell
    elements apart, least squares give the smallest numbers that fit.
    Raises DataError if an element has no E0, the fit is rank deficient, or an isolated atom contradicts its E0.
    """
    compositions = []  # {atomic number: atoms} and energy (NaN if missing) of every train frame
    for i in train:
        elements, atoms = np.unique(frames[i].atoms.numbers, return_counts=True)
        compositions.append((dict(zip(elements.tolist(), atoms.tolist(), strict=True)), labels[i].energy))
    species = sorted({z for composition, _ in compositions for z in composition})
    isolated = isolated_atom_energies(frames, labels, train, cutoff)
    if isinstance(method, Mapping):
        return _checked(_given(method, species), isolated, "data.e0s")
    carrying = [(composition, energy) for composition, energy in compositions if math.isfinite(energy)]
    if not carrying:
        return dict.fromkeys(species, 0.0)
    if method == "isolated_atoms":
        return _isolated(frames[0].file, isolated, species)
    counts = np.array([[composition.get(z, 0) for z in species] for composition, _ in carrying], dtype=np.float64)
    energies = np.array([energy for _, energy in carrying])
    if method == "mean":
        mean = dict.fromkeys(species, float(energies.sum() / counts.sum()))
        return _checked(mean, isolated, "data.e0s=mean")
    known = np.array([z in isolated for z in species])
    values = np.array([isolated[z].energy if z in isolated else 0.0 for z in species])
    rest = [z for z in species if z not in isolated]
    # variance grows with the number of atoms; with this weight the residuals add up to zero, so no shift is left over
    weight = 1.0 / np.sqrt(counts.sum(axis=1))
    left = energies - counts @ values
    weighted = counts[:, ~known] * weight[:, None]
    fitted = _least_squares(frames[0].file, weighted, left * weight, rest, unique) if rest else {}
    return {z: isolated[z].energy if z in isolated else fitted[z] for z in species}


class IsolatedAtom(NamedTuple):
    """Energy of an isolated atom in eV, and where it was read."""

    energy: float
    where: str


def isolated_atom_energies(
    frames: Sequence[Frame], labels: Sequence[Labels], train: Sequence[int], cutoff: float
) -> dict[int, IsolatedAtom]:
    """By atomic number, from frames of the train split or, for elements that have none there, of the others.

    Raises DataError where isolated atoms of one element differ.
    """
    in_train = set(train)
    found: dict[int, list[int]] = {}
    for i in sorted(isolated_atom_frames(frames, cutoff), key=lambda i: i not in in_train):
        indices = found.setdefault(int(frames[i].atoms.numbers[0]), [])
        if labels[i].has("energy") and (i in in_train or not set(indices) & in_train):
            indices.append(i)
    for z, indices in found.items():
        energies = [labels[i].energy for i in indices]
        if energies and max(energies) - min(energies) > AGREEMENT:
            raise DataError(
                f"{frames[indices[1]].where}: isolated {chemical_symbols[z]} atoms differ by "
                f"{max(energies) - min(energies):.3g} eV; keep one per element or give data.e0s."
            )
    return {
        z: IsolatedAtom(float(np.mean([labels[i].energy for i in indices])), frames[indices[0]].where)
        for z, indices in found.items()
        if indices
    }


def _checked(e0s: dict[int, float], isolated: Mapping[int, IsolatedAtom], setting: str) -> dict[int, float]:
    """``e0s``, if no isolated atom contradicts them."""
    for z, atom in isolated.items():
        if z in e0s and abs(atom.energy - e0s[z]) > TOLERANCE:
            raise DataError(
                f"{atom.where}: this isolated {chemical_symbols[z]} atom has {atom.energy:.6g} eV, but {setting} gives "
                f"{e0s[z]:.6g} eV; use data.e0s=isolated_atoms, or correct or remove one of them."
            )
    return e0s


def _given(energies: Mapping[Any, float], species: list[int]) -> dict[int, float]:
    by_number: dict[int, float] = {}
    for key, energy in energies.items():
        number = int(key) if str(key).isdigit() else atomic_numbers.get(str(key))
        if number is None or not 0 < number < len(chemical_symbols) or not math.isfinite(energy):
            raise ConfigError(f"data.e0s: '{key}: {energy}' is not an element with an energy in eV; repair this entry.")
        by_number[number] = float(energy)
    missing = [chemical_symbols[z] for z in species if z not in by_number]
    if missing:
        raise DataError(f"data.e0s gives no energy for {', '.join(missing)}; add it (eV of the isolated atom).")
    return {z: by_number[z] for z in species}


def _isolated(file: str, isolated: Mapping[int, IsolatedAtom], species: list[int]) -> dict[int, float]:
    missing = [chemical_symbols[z] for z in species if z not in isolated]
    if missing:
        raise DataError(
            f"{file}: no frame with an isolated atom and its energy for {', '.join(missing)}; "
            "add one (a single atom without neighbours), give data.e0s, or use data.e0s=least_squares or mean."
        )
    return {z: isolated[z].energy for z in species}


def _least_squares(
    file: str, counts: np.ndarray, energies: np.ndarray, species: list[int], unique: bool
) -> dict[int, float]:
    solution, _, rank, _ = np.linalg.lstsq(counts, energies, rcond=1e-8)
    if unique and rank < len(species):
        symbols = ", ".join(chemical_symbols[z] for z in species)
        raise DataError(
            f"{file}: the train compositions have rank {rank} for {len(species)} elements ({symbols}), so "
            "least squares cannot tell their E0s apart; give data.e0s, or use data.e0s=isolated_atoms or data.e0s=mean."
        )
    return dict(zip(species, (float(e) for e in solution), strict=True))
