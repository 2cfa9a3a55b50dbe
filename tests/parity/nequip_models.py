"""Runs where nequip is installed: ``nequip_models.py FOLDER`` writes files of small models and predictions.

For NAME in nequip and allegro (where it is installed): NAME.ckpt as nequip-train writes it, NAME.nequip.zip that
nequip-package makes of it, and NAME.npz with structures, energies, forces and stress of nequip itself.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.stress import full_3x3_to_voigt_6_stress
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform, NonPeriodicCellTransform
from nequip.model import ModelFromCheckpoint
from nequip.train import EMALightningModule
from nequip.utils.global_state import set_global_state

PACKAGER = Path(sys.executable).with_name("nequip-package")
SPECIES = ["O", "H", "Si"]
COMMON = {
    "seed": 1, "model_dtype": "float64", "type_names": SPECIES, "r_max": 4.0, "avg_num_neighbors": 12.0,
    "per_type_energy_scales": {"O": 1.3, "H": 0.7, "Si": 2.0},
    "per_type_energy_shifts": {"O": -4.0, "H": -1.0, "Si": -5.0},
}  # fmt: skip
MODELS = {
    "nequip": {
        "_target_": "nequip.model.NequIPGNNModel", "num_layers": 2, "l_max": 2, "parity": True,
        "num_features": [8, 4, 4], "radial_mlp_depth": 1, "radial_mlp_width": 8, "type_embed_num_features": 4,
    },
    "allegro": {
        "_target_": "allegro.model.AllegroModel", "num_layers": 2, "l_max": 2, "parity": True,
        "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 6},
        "radial_chemical_embed_dim": 8, "num_scalar_features": 8, "num_tensor_features": 4,
        "scalar_embed_mlp_hidden_layers_depth": 1, "scalar_embed_mlp_hidden_layers_width": 8,
        "allegro_mlp_hidden_layers_depth": 1, "allegro_mlp_hidden_layers_width": 8,
        "readout_mlp_hidden_layers_depth": 1, "readout_mlp_hidden_layers_width": 8,
    },
}  # fmt: skip


def structures() -> list[Atoms]:
    """A molecule, a crystal of one element and a mixed one, all out of place."""
    quartz = bulk("Si", cubic=True)
    quartz.symbols[[1, 3, 5]] = ["O", "H", "O"]
    found = [molecule("H2O"), bulk("Si", cubic=True), quartz]
    for seed, atoms in enumerate(found):
        atoms.rattle(0.1, seed=seed)
    return found


def example_data(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of its data; nequip-package puts an example of them in."""
    file = folder / "frames.extxyz"
    ase.io.write(file, structures()[1:])
    transforms = [
        {"_target_": f"nequip.data.transforms.{kind}", **options}
        for kind, options in (
            ("ChemicalSpeciesToAtomTypeMapper", {"model_type_names": SPECIES}),
            ("NeighborListTransform", {"r_max": COMMON["r_max"]}),
        )
    ]
    split = {"file_path": str(file), "train": 1, "val": 1}
    loader = {"_target_": "torch.utils.data.DataLoader", "batch_size": 1}
    return {
        "_target_": "nequip.data.datamodule.ASEDataModule", "seed": 1, "split_dataset": split,
        "transforms": transforms, "train_dataloader": loader, "val_dataloader": loader,
    }  # fmt: skip


def write(name: str, folder: Path) -> None:
    """One checkpoint and what it predicts."""
    given = {**COMMON, **MODELS[name]}
    about = {"versions": {}, "training_module": {"_target_": "nequip.train.EMALightningModule", "model": given}}
    module = EMALightningModule(
        model=given, ema_decay=0.99, num_datasets={"train": 1, "val": 1, "test": 0},
        info_dict={**about, "data": example_data(folder)},
    )  # fmt: skip
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)).to(parameter)
    content = {
        "state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams), "epoch": 0, "global_step": 0,
        "pytorch-lightning_version": "2.5.0", "loops": {}, "callbacks": {}, "optimizer_states": [], "lr_schedulers": [],
    }  # fmt: skip
    module.on_save_checkpoint(content)
    file = folder / f"{name}.ckpt"
    torch.save(content, file)
    subprocess.run([PACKAGER, "build", file, folder / f"{name}.nequip.zip"], check=True)
    (model,) = ModelFromCheckpoint(str(file)).values()
    reference = {}
    types = ChemicalSpeciesToAtomTypeMapper(model_type_names=SPECIES)
    transforms = [types, NonPeriodicCellTransform(), NeighborListTransform(COMMON["r_max"])]
    for k, atoms in enumerate(structures()):
        data = from_ase(atoms)
        for transform in transforms:
            data = transform(data)
        out = model(AtomicDataDict.to_(data, "cpu"))
        for key in ("total_energy", "forces", "stress"):
            value = out[key].detach().double().squeeze().numpy()
            value = full_3x3_to_voigt_6_stress(value) if key == "stress" else value
            reference[f"{key.removeprefix('total_')}_{k}"] = value
        for key, value in {"numbers": atoms.numbers, "positions": atoms.positions, "cell": atoms.cell.array}.items():
            reference[f"{key}_{k}"] = np.asarray(value)
        reference[f"pbc_{k}"] = atoms.pbc
    np.savez(folder / f"{name}.npz", **reference)


if __name__ == "__main__":
    set_global_state()
    for model_name in MODELS:
        if model_name == "nequip" or importlib.util.find_spec(model_name):
            write(model_name, Path(sys.argv[1]))
