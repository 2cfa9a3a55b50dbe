"""Small labelled sets written to a temporary folder."""

import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator


def label(atoms: Atoms, **results) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def silicon(count: int, seed: int = 0) -> list[Atoms]:
    """Rattled 8-atom diamond cells of one volume with arbitrary but well-formed labels."""
    rng, frames = np.random.default_rng(seed), []
    for k in range(count):
        atoms = bulk("Si", cubic=True)
        atoms.positions += rng.normal(scale=0.05, size=(8, 3))
        forces = rng.normal(size=(8, 3))
        stress = rng.normal(scale=0.01, size=6)
        label(atoms, energy=float(-40 + rng.normal()), forces=forces - forces.mean(axis=0), stress=stress)
        atoms.info["config_type"] = ("cold", "hot")[k % 2]
        frames.append(atoms)
    return frames


@pytest.fixture
def write(tmp_path):
    """Write frames (or raw text) to a file of the temporary folder and return its path."""

    def write(content, name: str = "frames.extxyz") -> str:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content)
        else:
            ase.io.write(path, content, format="extxyz")
        return str(path)

    return write


@pytest.fixture
def settings(tmp_path):
    """Data settings for a file, with a cache of their own."""

    def settings(path: str | None, **changes) -> dict:
        return {"path": path, "cache_dir": str(tmp_path / "cache"), **changes}

    return settings


@pytest.fixture
def external():
    """Path of an external real data file; skips the test where it is absent."""
    root = Path(os.environ.get("SCALARPATH_EXTERNAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))

    def external(relative: str) -> Path:
        if not (root / relative).exists():
            pytest.skip(f"external data set {relative} is not here (SCALARPATH_EXTERNAL_DATA)")
        return root / relative

    return external


@pytest.fixture
def make_silicon():
    return silicon


@pytest.fixture
def with_labels():
    return label
