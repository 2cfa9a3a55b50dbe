"""Worker of scalarpath: the weights that the peer has written, imported."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms
from step_server import frames, serve
from torch import Tensor

from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential.compiled import CompiledPotential
from scalarpath.upstream import from_upstream


class NativeModel:
    """The imported model of a request on its structures."""

    def __init__(self, request: dict[str, Any]):
        self.device = torch.device(request["device"])
        with np.load(request["weights"]) as arrays:
            self.potential = from_upstream(request["kind"], dict(arrays), request["hyperparameters"]).to(self.device)
        self.batch = collate(
            [
                AtomicGraph.from_atoms(
                    Atoms(f["numbers"], f["positions"], cell=f["cell"], pbc=bool(f["periodic"])), self.potential.cutoff
                )
                for f in frames(request["structures"])
            ]
        ).to(self.device)
        self.predictor = CompiledPotential(self.potential) if request["compiled_native"] else self.potential
        self.periodic = request["periodic"]
        self.edges = self.batch.edge_index.shape[1]

    def module(self, kind: str) -> torch.nn.Module:
        """The same potential for both kinds of step."""
        return self.potential

    def predict(self, kind: str) -> dict[str, Tensor]:
        """Energy, forces and stress."""
        out = self.predictor(self.batch, stress=self.periodic)
        return {key: out[key] for key in ("energy", "forces", "stress") if key in out}


if __name__ == "__main__":
    serve(NativeModel)
