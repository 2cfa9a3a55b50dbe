"""Worker of nequip and nequip-allegro: NequIPGNNModel and AllegroModel, eager or in their train-time compile mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_, from_dict
from nequip.utils.global_state import set_global_state
from step_server import frames, save_weights, serve
from torch import Tensor


class FrameworkModel:
    """The model of a request on its structures.

    Compiled inference has a module of its own: what is traced in training mode keeps the graph of the forces.
    """

    def __init__(self, request: dict[str, Any]):
        set_global_state()
        self.modules = {"train": _build(request)}
        self.modules["inference"] = _build(request) if request["compiled"] else self.modules["train"]
        save_weights(self.modules["train"], request["weights"])
        self.data = _batch(request)
        self.periodic = request["periodic"]
        self.edges = self.data[AtomicDataDict.EDGE_INDEX_KEY].shape[1]

    def module(self, kind: str) -> torch.nn.Module:
        """The module for this kind of step."""
        return self.modules[kind]

    def predict(self, kind: str) -> dict[str, Tensor]:
        """Energy, forces and stress."""
        out = self.modules[kind](self.data.copy())
        named = {"energy": out[AtomicDataDict.TOTAL_ENERGY_KEY].flatten(), "forces": out[AtomicDataDict.FORCE_KEY]}
        return {**named, "stress": out[AtomicDataDict.STRESS_KEY]} if self.periodic else named


def _build(request: dict[str, Any]) -> torch.nn.Module:
    if request["kind"] == "allegro":
        from allegro.model import AllegroModel as Builder
    else:
        from nequip.model import NequIPGNNModel as Builder
    mode = "compile" if request["compiled"] else "eager"
    common = {"seed": request["seed"], "model_dtype": request["dtype"], "compile_mode": mode}
    return Builder(**request["hyperparameters"], **common)


def _batch(request: dict[str, Any]) -> AtomicDataDict.Type:
    parts = []
    for frame in frames(request["structures"]):
        arrays = {
            AtomicDataDict.POSITIONS_KEY: frame["positions"],
            AtomicDataDict.ATOM_TYPE_KEY: np.searchsorted(request["atomic_numbers"], frame["numbers"]),
        }
        if frame["periodic"]:
            arrays |= {AtomicDataDict.CELL_KEY: frame["cell"], AtomicDataDict.PBC_KEY: np.array([True] * 3)}
        parts.append(compute_neighborlist_(from_dict(arrays), request["hyperparameters"]["r_max"]))
    return AtomicDataDict.batched_from_list(parts)


if __name__ == "__main__":
    serve(FrameworkModel)
