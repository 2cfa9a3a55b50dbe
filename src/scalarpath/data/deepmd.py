"""Systems of DeePMD-kit: a folder with type.raw, type_map.raw and numpy arrays in set.*, as dpdata writes them.

Lengths are Å, energies and virials eV, forces eV/Å (manual of DeePMD-kit, "System"). Sets of mixed compositions say in
real_atom_types.npy which element every atom of a frame has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers

from scalarpath.core.errors import DataError

TYPES = "type.raw"
NO_ATOM = -1  # fills up the smaller frames of a mixed set


def is_system(folder: Path) -> bool:
    """Whether a folder is one system."""
    return (folder / TYPES).is_file()


def frames(folder: Path) -> Iterator[Atoms]:
    """The frames of a system, set by set; energy and forces are in the calculator, the virial is in ``info``.

    Raises DataError where elements or arrays are missing or do not fit each other.
    """
    elements = _elements(folder / "type_map.raw")
    types = _read(folder / TYPES, lambda path: np.loadtxt(path, dtype=np.int64, ndmin=1))
    sets = sorted(path for path in folder.glob("set.*") if path.is_dir())
    if not sets:
        raise DataError(f"{folder}: has no folder set.000 with arrays; write them with dpdata as deepmd/npy.")
    for path in sets:
        yield from _of_set(path, elements, types, periodic=not (folder / "nopbc").exists())


def _of_set(path: Path, elements: np.ndarray, types: np.ndarray, *, periodic: bool) -> Iterator[Atoms]:
    atoms = len(types)
    positions = _array(path / "coord.npy", (-1, atoms, 3))
    frames = len(positions)
    cells = _array(path / "box.npy", (frames, 3, 3)) if periodic else None
    shapes = {"energy": (frames,), "force": (frames, atoms, 3), "virial": (frames, 3, 3)}
    labels = {
        name: _array(path / f"{name}.npy", shape) for name, shape in shapes.items() if (path / f"{name}.npy").exists()
    }
    mixed = path / "real_atom_types.npy"
    kinds = _array(mixed, (frames, atoms)).astype(np.int64) if mixed.exists() else np.tile(types, (frames, 1))
    if kinds.size and not NO_ATOM <= kinds.min() <= kinds.max() < len(elements):
        file = mixed if mixed.exists() else path.parent / TYPES
        raise DataError(f"{file}: has types that the {len(elements)} elements of type_map.raw do not name; repair it.")
    for k in range(frames):
        real = kinds[k] != NO_ATOM
        structure = Atoms(
            elements[kinds[k][real]], positions[k][real], cell=None if cells is None else cells[k], pbc=periodic
        )
        results = {"energy": float(labels["energy"][k])} if "energy" in labels else {}
        if "force" in labels:
            results["forces"] = labels["force"][k][real]
        structure.calc = SinglePointCalculator(structure, **results)
        if "virial" in labels:
            structure.info["virial"] = labels["virial"][k]
        yield structure


def _elements(path: Path) -> np.ndarray:
    """Atomic number of every type."""
    names = _read(path, lambda path: path.read_text(encoding="utf-8").split())
    strange = [name for name in names if not atomic_numbers.get(name)]
    if strange:
        raise DataError(f"{path}: '{strange[0]}' is no element; write the symbol of every type, one in a line.")
    return np.array([atomic_numbers[name] for name in names])


def _array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An array of a set in float64, which is stored flat."""
    stored = _read(path, np.load)
    try:
        return np.asarray(stored, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: has shape {stored.shape}, which does not fit {shape}; write the set again."
        ) from error


def _read(path: Path, reader):  # type: ignore[no-untyped-def]
    try:
        return reader(path)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: is missing or cannot be read ({reason}); a system of DeePMD needs it.") from error
