"""Worker of mace-torch: ScaleShiftMACE, eager, with the e3nn kernels that are its default, or cuequivariance's."""

from __future__ import annotations

from typing import Any

import mace  # noqa: F401  before e3nn, which it configures
import numpy as np
import torch
from e3nn import o3
from mace import modules
from mace.data.neighborhood import get_neighborhood
from step_server import frames, save_weights, serve
from torch import Tensor


class MACEModel:
    """The model of a request on its structures."""

    def __init__(self, request: dict[str, Any]):
        self.device, self.dtype = torch.device(request["device"]), getattr(torch, request["dtype"])
        torch.set_default_dtype(self.dtype)
        torch.manual_seed(request["seed"])
        self.model = _build(request["hyperparameters"])
        save_weights(self.model, request["weights"])
        self.model = self.model.to(self.device)
        if request["peer_mode"] == "kernels":
            from mace.cli.convert_e3nn_cueq import run

            self.model = run(self.model, device=self.device.type, return_model=True)
        self.data = {key: value.to(self.device) for key, value in _batch(request, self.dtype).items()}
        self.periodic = request["periodic"]
        self.edges = self.data["edge_index"].shape[1]

    def module(self, kind: str) -> torch.nn.Module:
        """The same module for both kinds of step."""
        return self.model

    def predict(self, kind: str) -> dict[str, Tensor]:
        """Energy, forces and stress."""
        # a copy, because the model writes strained positions into what it is given
        data = {**self.data, "positions": self.data["positions"].detach().clone()}
        out = self.model(data, training=kind == "train", compute_force=True, compute_stress=self.periodic)
        keys = ("energy", "forces", "stress") if self.periodic else ("energy", "forces")
        return {key: out[key] for key in keys}


def _build(hyperparameters: dict[str, Any]) -> torch.nn.Module:
    given = dict(hyperparameters)
    for key in ("interaction_cls", "interaction_cls_first"):
        given[key] = modules.interaction_classes[given[key]]
    for key in ("hidden_irreps", "MLP_irreps"):
        given[key] = o3.Irreps(given[key])
    given["gate"] = modules.gate_dict[given["gate"]]
    given["atomic_energies"] = np.array(given["atomic_energies"])
    return modules.ScaleShiftMACE(**given)


def _batch(request: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    hp = request["hyperparameters"]
    parts: dict[str, list[np.ndarray]] = {
        key: [] for key in ("numbers", "positions", "cell", "edge_index", "shifts", "unit_shifts")
    }
    counts = [0]
    for frame in frames(request["structures"]):
        pbc = (bool(frame["periodic"]),) * 3
        edges, shifts, unit_shifts, cell = get_neighborhood(frame["positions"], hp["r_max"], pbc, frame["cell"].copy())
        values = (frame["numbers"], frame["positions"], cell, edges + counts[-1], shifts, unit_shifts)
        for key, value in zip(parts, values, strict=True):
            parts[key].append(value)
        counts.append(counts[-1] + len(frame["numbers"]))
    joined = {key: np.concatenate(value, axis=1 if key == "edge_index" else 0) for key, value in parts.items()}
    index = np.searchsorted(hp["atomic_numbers"], joined.pop("numbers"))
    data = {key: torch.as_tensor(value) for key, value in joined.items()}
    floats = {key: value.to(dtype) for key, value in data.items() if key != "edge_index"}
    return {
        **floats,
        "edge_index": data["edge_index"].long(),
        "node_attrs": torch.nn.functional.one_hot(torch.as_tensor(index), len(hp["atomic_numbers"])).to(dtype),
        "batch": torch.repeat_interleave(torch.arange(len(counts) - 1), torch.as_tensor(np.diff(counts))),
        "ptr": torch.as_tensor(counts),
    }


if __name__ == "__main__":
    serve(MACEModel)
