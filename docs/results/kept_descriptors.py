"""Which of its descriptors a node gate needs: trained potentials in which it sees some of them alone.

python docs/results/kept_descriptors.py OUT.csv RUN...

A row per run of `pan_node` and choice of descriptors: MAE of its test part. The others are held at their mean over the
train frames, per element, without training again: what the gate has learned to read. `Kept` is for trainings in which
the gate never sees the others (docs/evidence-physics.md):

PYTHONPATH=docs/results python train.py head=pan_node +head.descriptors.kind=kept_descriptors:Kept \
    +head.descriptors.kept=counts head.name=pan_node_counts
"""

from __future__ import annotations

import csv
import sys
from typing import Literal, get_args

import torch

from scalarpath.core.quantities import QUANTITIES
from scalarpath.evaluation.finished_run import FinishedRun
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.heads.interface import LocalDescriptors
from scalarpath.training.evaluation import evaluate

Choice = Literal["all", "none", "counts", "moments", "spread", "polarity", "quadrupole"]
MOMENTS = ("spread", "polarity", "quadrupole")


def factors(kept: Choice, shells: int) -> torch.Tensor:
    """One for the descriptors that are kept, zero for the others [K + 3]; counts are the K soft coordinations."""
    counts = kept in ("all", "counts")
    moments = [kept in ("all", "moments", name) for name in MOMENTS]
    return torch.tensor([float(kind) for kind in [counts] * shells + moments], dtype=torch.float64)


def held(local: LocalDescriptors, factors: torch.Tensor) -> LocalDescriptors:
    """The descriptors times ``factors``: zero is their mean over the train frames."""
    return LocalDescriptors(*(values * factors.to(values.dtype) for values in local))


class Kept(NeighbourhoodDescriptors):
    """The usual descriptors, of which all but the ``kept`` ones are held."""

    factors: torch.Tensor

    def __init__(self, cutoff: float, n_species: int, shells: int = 4, kept: Choice = "all"):
        super().__init__(cutoff, n_species, shells)
        self.register_buffer("factors", factors(kept, shells), persistent=False)

    def forward(self, geometry: EdgeGeometry) -> LocalDescriptors:
        """Descriptors of every atom [N, K + 3], and of an isolated atom of every species [S, K + 3]."""
        return held(super().forward(geometry), self.factors)


def main(out: str, *runs: str) -> None:
    """Write the table."""
    names = [f"{quantity.name}_mae_{quantity.unit_in_names}" for quantity in QUANTITIES.values()]
    rows = []
    for run in runs:
        found = FinishedRun.load(run)
        data, read = found.read_data(), found.potential.head.descriptors
        if not isinstance(read, NeighbourhoodDescriptors):
            sys.exit(f"{run}: its head reads no descriptors of this kind.")
        for kept in get_args(Choice):
            chosen = factors(kept, read.shells)
            hook = read.register_forward_hook(lambda _, __, local, chosen=chosen: held(local, chosen))
            errors = evaluate(found.potential, data.test_dataloader())
            hook.remove()
            identity = {name: found.summary[name] for name in ("data", "backbone", "head", "seed", "epochs")}
            rows.append(identity | {"kept": kept} | {f"test/{name}": errors.get(name) for name in names})
            print(run, kept, *(f"{errors.get(name, float('nan')):.3f}" for name in names), flush=True)
    with open(out, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
