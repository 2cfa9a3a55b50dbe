"""Two of the five slabs among the train frames: python docs/results/slabs.py RUN FOLDER (docs/evidence-node-gate.md)

RUN: a run on bundled si or lif. Writes into FOLDER the first two slabs of its unseen frames, the other unseen frames,
and the split of the run with these two slabs added to the train part.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ase.io import read, write

from scalarpath.core.resources import BUNDLED_DIR


def main() -> None:
    """Write the three files."""
    run, folder = map(Path, sys.argv[1:])
    data = json.loads((run / "summary.json").read_text())["data"]
    split = json.loads((run / "splits.json").read_text())
    unseen = read(BUNDLED_DIR / data / "unseen.extxyz", ":")
    slabs = [atoms for atoms in unseen if atoms.info["config_type"] == "slab"][:2]
    count = sum(map(len, split.values()))
    split["train"] = [*split["train"], *range(count, count + len(slabs))]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{data}_slabs.extxyz", slabs)
    write(folder / f"{data}_rest.extxyz", [atoms for atoms in unseen if not any(atoms is slab for slab in slabs)])
    (folder / f"{data}_split.json").write_text(json.dumps(split))


if __name__ == "__main__":
    main()
