"""A data set whose graphs do not fit into memory is read, batched and met for a whole epoch."""

import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk

# bytes beyond the imports, for 8000 frames with labels (270 MiB) and their audit (50); graphs take twice as much
ROOM = 340 * 2**20
SCRIPT = """
import re, resource, sys
from scalarpath.data.datamodule import AtomicDataModule
path, cache_dir, room, cache = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "True"
(used,) = re.findall(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())
resource.setrlimit(resource.RLIMIT_DATA, (1024 * int(used) + room,) * 2)
data = AtomicDataModule(
    {"path": path, "cache_dir": cache_dir, "cache": cache, "e0s": "mean", "max_edges": 20_000}, cutoff=5.0, seed=0
)
data.setup()
graphs = (data.train_graphs, data.valid_graphs, data.test_graphs)
size = sum(int(48 * part.sizes["edges"].sum() + 56 * part.sizes["atoms"].sum()) for part in graphs)
print(size, sum(batch.num_graphs for batch in data.train_dataloader()))
"""


def write_frames(path, count):
    """Rattled 64-atom cells with arbitrary labels, written without ASE, which would take longer than the test."""
    rng, crystal = np.random.default_rng(0), bulk("Si", cubic=True).repeat(2)
    lattice = " ".join(map(str, crystal.cell.array.ravel()))
    with path.open("w") as file:
        for _ in range(count):
            file.write(
                f'64\nLattice="{lattice}" Properties=species:S:1:pos:R:3:forces:R:3 energy={-340 + rng.normal()} '
                'pbc="T T T"\n'
            )
            rows = np.hstack([crystal.positions + rng.normal(scale=0.08, size=(64, 3)), rng.normal(size=(64, 3))])
            file.writelines("Si {:.8f} {:.8f} {:.8f} {:.8f} {:.8f} {:.8f}\n".format(*row) for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory and its measure are those of Linux")
def test_graphs_of_twice_the_memory_are_all_met_in_an_epoch(tmp_path):
    write_frames(tmp_path / "many.extxyz", 8000)

    def run(cache):
        arguments = [str(tmp_path / "many.extxyz"), str(tmp_path / "cache"), str(ROOM), str(cache)]
        return subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False)

    done = run(cache=True)
    assert done.returncode == 0, done.stderr
    size, met = map(int, done.stdout.split())
    assert size > 2 * ROOM
    assert met == 6400
    assert "MemoryError" in run(cache=False).stderr  # the limit does bite
