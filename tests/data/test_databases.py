"""ASE databases: labels, groups and strata of a row's key-value pairs and data."""

import ase.db
import numpy as np
import pytest

from scalarpath.core.errors import DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.groups import frame_groups
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.reading import read_frames


@pytest.fixture
def database(tmp_path, make_silicon):
    """A database in which the energy is a key-value pair and forces are data, beside a key-value pair ``group``."""
    path = tmp_path / "set.db"
    with ase.db.connect(path) as rows:
        for k, atoms in enumerate(make_silicon(4)):
            forces = atoms.calc.results["forces"]
            atoms.calc = None
            rows.write(atoms, dft_energy=-40.0 - k, group=f"g{k // 2}", data={"dft_forces": forces})
    return path


def test_key_value_pairs_and_data_are_read(database, make_silicon):
    config = DataConfig.read({"path": str(database), "group_key": "group"})
    frames = list(read_frames(database))
    labels = [extract_labels(frame, find_keys(frames, config), config) for frame in frames]
    assert [label.energy for label in labels] == [-40, -41, -42, -43]
    for label, atoms in zip(labels, make_silicon(4), strict=True):
        assert np.array_equal(label.forces, atoms.calc.results["forces"])
    assert frame_groups(config, frames) == ["g0", "g0", "g1", "g1"]


def test_what_the_metadata_say_of_units_is_said_or_refused(database):
    metadata = {"_distance_unit": "Ang", "_property_unit_dict": {"energy": "kcal/mol"}}
    ase.db.connect(database).metadata = metadata
    notes = []
    assert len(list(read_frames(database, notes=notes))) == 4
    assert notes == [
        f"{database}: its metadata give energy in kcal/mol; data.energy_unit and the like must say the same."
    ]
    ase.db.connect(database).metadata = {**metadata, "_distance_unit": "Bohr"}
    with pytest.raises(DataError, match=r"set\.db: its metadata say that lengths are in Bohr"):
        list(read_frames(database))


def test_one_key_with_two_values_names_the_row(database, make_silicon):
    ase.db.connect(database).write(make_silicon(1)[0], tag=1, data={"tag": 2})
    with pytest.raises(DataError, match=r"set\.db, frame 4: .*'tag' has different values"):
        list(read_frames(database))
