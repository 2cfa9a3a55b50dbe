"""Reading ASE databases with what their rows keep beside the structure: key-value pairs and data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ase.db
import numpy as np
from ase import Atoms

from scalarpath.core.errors import DataError

FORMATS = ("db", "json")  # as ASE calls them


def rows(path: Path, name: str) -> Iterator[Atoms]:
    """The structures of a database, which errors call ``name``, in the order of their ids.

    Key-value pairs and data (where SchNetPack keeps energy and forces) are in ``info``. Raises DataError where the
    database says that its lengths are not Å, ValueError for a row with one key for two values.
    """
    with ase.db.connect(path) as database:
        unit = str(database.metadata.get("_distance_unit", "Ang"))
        if not unit.lower().startswith("ang") and unit not in ("A", "Å"):
            raise DataError(f"{name}: its metadata say that lengths are in {unit}; convert them to Å.")
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.data)
            for key, value in row.key_value_pairs.items():
                if key in row.data and not np.array_equal(value, row.data[key]):
                    raise ValueError(f"'{key}' has different values as key-value pair and in data")
                atoms.info[key] = value
            yield atoms


def notes(path: Path, name: str) -> list[str]:
    """The units that a database states, as SchNetPack writes them into its metadata: nothing reads them."""
    try:
        units = ase.db.connect(path).metadata.get("_property_unit_dict", {})
        said = ", ".join(f"{key} in {unit}" for key, unit in units.items())
    except Exception:  # of a damaged file, anything: ``rows`` meets it too, and names it
        return []
    return [f"{name}: its metadata give {said}; data.energy_unit and the like must say the same."] if said else []
