"""A quantity added to the table: its labels are read, stored, joined and measured, and older runs stay valid."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scalarpath.data.cache import build_graphs, content_hash
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.sources import load_dataset

# in a process of its own, since modules look at the table when they are imported
SCRIPT = """
import dataclasses, json, pathlib, sys
from scalarpath.core.quantities import QUANTITIES

for name, of_atoms in (("dipole", False), ("moment", True)):
    QUANTITIES[name] = dataclasses.replace(
        QUANTITIES["forces"], name=name, unit_in_names="u", shape=(3,), of_atoms=of_atoms, keys=(name,)
    )

from scalarpath.data.cache import build_graphs, content_hash
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.sources import load_dataset
from scalarpath.graph import collate
from scalarpath.training.metrics import EpochErrors

path, folder = sys.argv[1:]
spec = DataConfig.read({"path": path})
frames = load_dataset(spec).frames
keys = find_keys(frames, spec)
labels = [extract_labels(frame, keys, spec) for frame in frames]
data_hash = content_hash(frames, labels)
for _ in range(2):  # written, then read from the file
    graphs = build_graphs(frames, labels, range(len(frames)), 4.0, data_hash, pathlib.Path(folder))
batch = collate(list(graphs))
errors = EpochErrors()
errors.update({name: batch[name] + 1.0 for name in ("dipole", "moment")}, batch)
print(json.dumps({"hash": data_hash, "dipole": batch["dipole"].tolist(), "errors": errors.compute()}))
"""


def with_two_more(path: str, folder: Path) -> dict:
    """What a program with two more quantities makes of the file ``path``."""
    command = [sys.executable, "-c", SCRIPT, path, str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def build_now(path: str, folder: Path) -> str:
    """Keep the graphs of the file as the program is now; gives their hash."""
    spec = DataConfig.read({"path": path})
    frames = load_dataset(spec).frames
    keys = find_keys(frames, spec)
    labels = [extract_labels(frame, keys, spec) for frame in frames]
    build_graphs(frames, labels, range(len(frames)), 4.0, content_hash(frames, labels), folder)
    return content_hash(frames, labels)


def test_its_labels_reach_the_metrics(write, make_silicon, tmp_path):
    frames = make_silicon(3)
    for k, atoms in enumerate(frames[:2]):  # the last frame has none
        atoms.info["dipole"] = np.array([k, 1.0, 2.0])
        atoms.arrays["moment"] = np.full((len(atoms), 3), 0.5)
    path = write(frames)
    before = build_now(path, tmp_path / "cache")
    found = with_two_more(path, tmp_path / "cache")
    assert found["dipole"][:2] == [[0.0, 1.0, 2.0], [1.0, 1.0, 2.0]]
    assert np.isnan(found["dipole"][2]).all()
    assert found["errors"]["dipole_labels"] == 6
    assert found["errors"]["moment_labels"] == 3 * sum(map(len, frames[:2]))
    assert found["errors"]["dipole_mae_u"] == pytest.approx(1000.0)
    assert found["hash"] != before


def test_data_without_it_stay_those_of_older_runs(write, make_silicon, tmp_path):
    """Runs from before are evaluated and resumed; graphs from before, which lack its label, are made again."""
    path = write(make_silicon(3))
    cache = tmp_path / "cache"
    before = build_now(path, cache)
    found = with_two_more(path, cache)
    assert found["hash"] == before
    assert np.isnan(found["dipole"]).all()
    assert len(list(cache.iterdir())) == 2
