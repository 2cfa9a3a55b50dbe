"""Runs where nequip is installed: ``nequip_worker.py FILE FOLDER`` opens a checkpoint or package and writes what it is.

FOLDER gets model.json (``builder``: what makes the model; ``models``: names of the models in the file;
``hyperparameters``: the arguments of the builder) and weights.pt (the state dict, of the average if there is one).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from nequip.model import ModelFromCheckpoint, ModelFromPackage
from nequip.utils.global_state import set_global_state
from omegaconf import OmegaConf
from torch.package.package_importer import PackageImporter


def main(file: str, folder: Path) -> None:
    """Write model.json and weights.pt."""
    packaged = file.endswith(".nequip.zip")  # the only name with which nequip opens one
    if packaged:
        given = yaml.safe_load(PackageImporter(file).load_text("model", "config.yaml"))["training_module"]["model"]
    else:
        given = torch.load(file, map_location="cpu", weights_only=False)["hyper_parameters"]["model"]
    arguments: Any = OmegaConf.to_container(OmegaConf.create(given), resolve=True)
    builder = arguments.pop("_target_")
    if builder.startswith("allegro."):
        import allegro  # noqa: F401  its absence is to be said by its name
    set_global_state()
    models = ModelFromPackage(file) if packaged else ModelFromCheckpoint(file)
    # tensors and nothing else, so that the other side reads them without running anything
    torch.save({name: value.detach().clone() for name, value in models.state_dict().items()}, folder / "weights.pt")
    content = {"builder": builder, "models": list(models), "hyperparameters": arguments}
    (folder / "model.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
