"""Worker of nequip and nequip-allegro: NequIPGNNModel and AllegroModel, eager, compiled for training, AOTInductor."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nequip.data import AtomicDataDict, compute_neighborlist_, from_dict
from nequip.model.inference_models import load_compiled_model
from nequip.model.modify_utils import modify
from nequip.scripts._compile_utils import COMPILE_TARGET_DICT
from nequip.utils.aot import aot_export_model
from nequip.utils.aoti_metadata import NEQUIP_AOTI_INPUTS_KEY, NEQUIP_AOTI_OUTPUTS_KEY, serialize_aoti_keys
from nequip.utils.global_state import get_latest_global_state, set_global_state
from step_server import frames, save_weights, serve
from torch import Tensor


class FrameworkModel:
    """The model of a request on its structures.

    Compiled inference has a module of its own: what is traced in training mode keeps the graph of the forces.
    AOTInductor has no training.
    """

    def __init__(self, request: dict[str, Any]):
        set_global_state()
        mode, self.device = request["peer_mode"], torch.device(request["device"])
        self.modules = {"train": _build(request)}
        save_weights(self.modules["train"], request["weights"])
        self.data = _batch(request)
        if mode in ("eager", "kernels"):
            self.modules["inference"] = self.modules["train"]
        else:
            self.modules["inference"] = _build(request) if mode == "compiled" else _exported(request, self.data)
        if mode == "kernels":
            modify(self.modules["train"], [{"modifier": _kernels(request["kind"])}])
        self.modules = {kind: module.to(self.device) for kind, module in self.modules.items()}
        self.data = {key: value.to(self.device) for key, value in self.data.items()}
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


def _kernels(kind: str) -> str:
    """The modifier that puts GPU kernels into a model, by what is installed here."""
    if kind == "allegro":
        return "enable_CuEquivarianceContracter"
    return "enable_OpenEquivariance" if find_spec("openequivariance") else "enable_CuEquivariance"


def _build(request: dict[str, Any]) -> torch.nn.Module:
    if request["kind"] == "allegro":
        from allegro.model import AllegroModel as Builder
    else:
        from nequip.model import NequIPGNNModel as Builder
    mode = "compile" if request["peer_mode"] == "compiled" else "eager"
    common = {"seed": request["seed"], "model_dtype": request["dtype"], "compile_mode": mode}
    return Builder(**request["hyperparameters"], **common)


def _exported(request: dict[str, Any], data: AtomicDataDict.Type) -> torch.nn.Module:
    """What ``nequip-compile --mode aotinductor --device cpu`` writes, loaded as the calculator of its users does.

    The target is ``ase`` for one frame and ``batch`` for several; the numbers of atoms and edges may change.
    """
    target = COMPILE_TARGET_DICT["ase" if len(frames(request["structures"])) == 1 else "batch"]
    bounds = {"graph": "num_frames", "node": "num_nodes", "edge": "num_edges"}
    sizes = {key: torch.export.dynamic_shapes.Dim(name, min=2) for key, name in bounds.items()}
    model: Any = _build(request)
    keys = {NEQUIP_AOTI_INPUTS_KEY: target["input"], NEQUIP_AOTI_OUTPUTS_KEY: target["output"]}
    described = {**model.metadata, **get_latest_global_state(only_metadata_related=True)}
    metadata = {key: str(int(value)) if isinstance(value, bool) else value for key, value in described.items()}
    metadata |= {key: serialize_aoti_keys(names) for key, names in keys.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.nequip.pt2")
        aot_export_model(
            model=model, device="cpu", input_fields=target["input"], output_fields=target["output"], output_path=path,
            data=target["data_settings"](data.copy()), batch_map=target["batch_map_settings"](sizes),
            inductor_configs={"aot_inductor.metadata": metadata},
        )  # fmt: skip
        return load_compiled_model(path, "cpu")[0]


def _batch(request: dict[str, Any]) -> AtomicDataDict.Type:
    parts = []
    for frame in frames(request["structures"]):
        arrays = {
            AtomicDataDict.POSITIONS_KEY: frame["positions"],
            AtomicDataDict.ATOM_TYPE_KEY: np.searchsorted(request["atomic_numbers"], frame["numbers"]),
        }
        # what is exported wants a cell for molecules too, as ASE gives them
        if frame["periodic"] or request["peer_mode"] == "aotinductor":
            pbc = np.array([bool(frame["periodic"])] * 3)
            arrays |= {AtomicDataDict.CELL_KEY: frame["cell"], AtomicDataDict.PBC_KEY: pbc}
        parts.append(compute_neighborlist_(from_dict(arrays), request["hyperparameters"]["r_max"]))
    return AtomicDataDict.batched_from_list(parts)


if __name__ == "__main__":
    serve(FrameworkModel)
