"""Errors of a pretrained potential: ``python docs/results/pretrained/errors.py CHECKPOINT OUTPUT.csv [FOLDER]``.

Energies of another DFT setting differ by a constant per element, which is fitted on train frames (20 at most) by
least squares; forces and stress are taken as they are. FOLDER holds the external sets (extxyz files of VASP PBE, and
rMD17); without it only the bundled ones are measured. Every set's own test split, 40 frames of it at most.
"""

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scalarpath.artifacts.measures.softening import softening_slope
from scalarpath.core.resources import CONF_DIR
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import load_potential
from scalarpath.training.evaluation import trivial_errors
from scalarpath.training.metrics import EpochErrors

MOST = {"train": 20, "test": 40}
BUNDLED = {name: [f"data={name}"] for name in ("si", "lif", "ag")}
EXTERNAL = {
    "mlearn Si": ["data=extxyz", "data.path={}/si/mlearn_Si_train.extxyz.xz"],
    "800 K Si": ["data=extxyz", "data.path={}/si/nequip_tutorial_sitraj.extxyz.xz"],
    "pypolymlp Ag": ["data=extxyz", "data.path={}/ag/pypolymlp_Ag_train.extxyz.xz"],
    "pypolymlp MgO": [
        "data=extxyz",
        "data.path={}/mgo/pypolymlp_MgO_train.extxyz.xz",
        "data.index='::6'",
        "data.e0s=mean",
    ],
    "rMD17 aspirin": ["data=rmd17", "data.molecule=aspirin", "data.root={}/rmd17"],
    "rMD17 ethanol": ["data=rmd17", "data.molecule=ethanol", "data.root={}/rmd17"],
}


def some(graphs: Sequence[AtomicGraph], most: int) -> list[AtomicGraph]:
    """Evenly spaced graphs."""
    return [graphs[i] for i in np.linspace(0, len(graphs) - 1, min(most, len(graphs))).astype(int)]


def measure(name: str, overrides: list[str], checkpoint: str) -> dict[str, Any]:
    """One row of the table."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config: Any = OmegaConf.to_container(
            compose("train", [*overrides, "data.on_suspicious=warn"]).data, resolve=True
        )
    potential = load_potential(checkpoint)
    data = AtomicDataModule({**config, "cache": False}, cutoff=potential.cutoff, seed=0)
    data.setup()
    train, test = some(data.train_graphs, MOST["train"]), some(data.test_graphs, MOST["test"])
    energies = np.array([potential(collate([g]), forces=False, stress=False)["energy"].item() for g in train])
    elements = sorted({z for graph in train for z in graph.z.tolist()})
    counts = np.array([[Counter(graph.z.tolist())[z] for z in elements] for graph in train], float)
    left = np.array([float(graph.energy) for graph in train]) - energies
    shifts = np.linalg.lstsq(counts / counts.sum(1, keepdims=True), left / counts.sum(1), rcond=1e-8)[0]
    for z, shift in zip(elements, shifts, strict=True):
        potential.e0[potential.species.index(z)] += shift
    sums, parts = EpochErrors(), []
    for graph in test:
        out = potential(collate([graph]))
        sums.update(out, collate([graph]))
        parts.append(out["forces"].detach().numpy())
    errors, trivial, forces = sums.compute(), trivial_errors(train, test), np.concatenate(parts)
    labels = torch.cat([graph.forces for graph in test]).numpy()
    size = np.linalg.norm(labels, axis=1)
    top = size >= np.quantile(size, 0.9)
    return {
        "set": name,
        "test_frames": len(test),
        **{key: f"{errors[key]:.4g}" for key in errors if key.endswith(("mae_meV_atom", "mae_meV_A", "mae_meV_A3"))},
        "forces_rmse_meV_A": f"{errors['forces_rmse_meV_A']:.4g}",
        "trivial_forces_rmse_meV_A": f"{trivial['forces_rmse_meV_A']:.4g}",
        "slope": f"{softening_slope(labels, forces):.3f}",
        "slope_largest_tenth": f"{softening_slope(labels[top], forces[top]):.3f}",
        "shifts_eV": " ".join(f"{z}:{shift:.3f}" for z, shift in zip(elements, shifts, strict=True)),
    }


def main(checkpoint: str, output: str, folder: str | None = None) -> None:
    """Measure all sets."""
    torch.set_num_threads(1)
    sets = BUNDLED | (
        {name: [text.format(folder) for text in given] for name, given in EXTERNAL.items()} if folder else {}
    )
    rows = []
    for name, overrides in sets.items():
        rows.append(measure(name, overrides, checkpoint))
        print(rows[-1], flush=True)
        with Path(output).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
