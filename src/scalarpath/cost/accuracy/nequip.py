"""``nequip-train`` (nequip 0.19, nequip-allegro 0.8) for NequIP and Allegro: its configuration and its log."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

import yaml

from scalarpath.backbones.interface import OF_THE_POTENTIAL
from scalarpath.core.errors import ConfigError
from scalarpath.core.files import write_text
from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.cost.accuracy.frames import KEYS
from scalarpath.cost.accuracy.task import Errors, Task

# of the tutorial of nequip, but for the weight average (0.999 there, for a thousand epochs), the metric that picks the
# best epoch (with total energies there) and early stopping
RECIPES = ("tutorial",)
EMA_DECAY = 0.99
RATE = 0.01
MONITOR = "val0_epoch/weighted_sum"
FIELDS = {"energy": "total_energy", "forces": "forces", "stress": "stress"}
LOGGED = {"energy": "per_atom_energy_mae", "forces": "forces_mae", "stress": "stress_mae"}
TWO_BODY = ("num_bessels", "bessel_trainable", "polynomial_cutoff_p")
NOT_UPSTREAM = ("kind", *OF_THE_POTENTIAL, "two_body", "num_splines", "spline_span")


def command(task: Task) -> list[str]:
    """The command, with its configuration written to the folder."""
    write_text(task.folder / "config.yaml", yaml.safe_dump(_config(task), sort_keys=False))
    where = ["-cp", str(task.folder), "-cn", "config", f"hydra.run.dir={task.folder}"]
    return [task.python, "-m", "nequip.scripts.train", *where]


def epochs(task: Task) -> list[dict[str, float]]:
    """From metrics.csv: the first validation of every epoch; the one after training is that of the best epoch."""
    found = {}
    for row in _rows(task):
        epoch = int(row["epoch"]) + 1 if row["epoch"] else 0
        if row.get(MONITOR) and 1 <= epoch <= task.arm.epochs and epoch not in found:
            steps = int(row["step"]) + 1
            found[epoch] = {"epoch": epoch, "steps": steps, **_errors(task, row, "val0_epoch")}
    return list(found.values())


def final(task: Task) -> dict[str, Errors]:
    """Errors of the best checkpoint, which the program validates and tests at its end."""
    rows = _rows(task)
    return {
        part: _errors(task, next(row for row in reversed(rows) if row.get(f"{name}/{LOGGED['forces']}")), name)
        for part, name in (("valid", "val0_epoch"), ("test", "test0_epoch"))
    }


def _rows(task: Task) -> list[dict[str, str]]:
    file = task.folder / "logs" / "metrics.csv"
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if None not in row.values()]


def _errors(task: Task, row: Mapping[str, str], name: str) -> Errors:
    return {metric_name(q): QUANTITIES[q].factor * float(row[f"{name}/{LOGGED[q]}"]) for q in task.parts.quantities}


def _config(task: Task) -> dict[str, Any]:
    arm, symbols, stressed = task.arm, list(task.parts.symbols), "stress" in task.parts.quantities
    loader = {"_target_": "torch.utils.data.DataLoader", "num_workers": 0}
    kind = "EnergyForceStress" if stressed else "EnergyForce"
    metrics = {
        "_target_": f"nequip.train.{kind}Metrics",
        "coeffs": dict.fromkeys(("per_atom_energy_mae", "forces_mae", *(["stress_mae"] if stressed else [])), 1.0),
    }
    return {
        "run": ["train", "val", "test"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": arm.seed,
            **{
                f"{name}_file_path": str(task.parts.files[part])
                for name, part in (("train", "train"), ("val", "valid"), ("test", "test"))
            },
            "key_mapping": {KEYS[q]: FIELDS[q] for q in task.parts.quantities},
            "transforms": [
                {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": symbols},
                {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": float(task.options["cutoff"])},
            ],
            "train_dataloader": {**loader, "batch_size": task.batch_size, "shuffle": True},
            "val_dataloader": {**loader, "batch_size": 16},
            "test_dataloader": {**loader, "batch_size": 16},
            "stats_manager": {
                "_target_": "nequip.data.CommonDataStatisticsManager",
                "dataloader_kwargs": {"batch_size": 16},
                "type_names": symbols,
            },
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_epochs": arm.epochs,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "logger": {
                "_target_": "lightning.pytorch.loggers.CSVLogger",
                "save_dir": str(task.folder), "name": "", "version": "logs", "flush_logs_every_n_steps": 1,
            },
            "callbacks": [{
                "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                "monitor": MONITOR, "dirpath": str(task.folder), "filename": "best", "save_last": True,
            }],
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "ema_decay": EMA_DECAY,
            "loss": {
                "_target_": f"nequip.train.{kind}Loss",
                "per_atom_energy": True,
                "coeffs": {FIELDS[q]: float(task.weights[q]) for q in task.parts.quantities},
            },
            "val_metrics": metrics,
            "test_metrics": metrics,
            "optimizer": {"_target_": "torch.optim.Adam", "lr": RATE},
            "lr_scheduler": {
                "scheduler": {
                    "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                    "factor": 0.6, "patience": 5, "threshold": 0.2, "min_lr": 1e-6,
                },
                "monitor": MONITOR, "interval": "epoch", "frequency": 1,
            },
            "model": {
                "seed": arm.seed,
                "model_dtype": task.dtype,
                "type_names": symbols,
                "r_max": float(task.options["cutoff"]),
                "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
                "per_type_energy_scales": "${training_data_stats:per_type_forces_rms}",
                "per_type_energy_shifts": "${training_data_stats:per_atom_energy_mean}",
                **_model(task.options),
            },
        },
    }  # fmt: skip


def _model(options: Mapping[str, Any]) -> dict[str, Any]:
    """Upstream's builder and its arguments, from the options of conf/backbone: their names are the same."""
    if options["pair_cutoffs"] is not None:
        raise ConfigError("backbone.pair_cutoffs: suite=accuracy takes models with one cutoff; set it to null.")
    given = {key: value for key, value in options.items() if key not in NOT_UPSTREAM}
    if options["kind"] == "nequip":
        return {"_target_": "nequip.model.NequIPGNNModel", **given}
    if options["two_body"] != "bessel":
        raise ConfigError("backbone.two_body: suite=accuracy compares Allegro with two_body=bessel only.")
    two_body = {key: given.pop(key) for key in TWO_BODY}
    embed = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", **two_body}
    return {"_target_": "allegro.model.AllegroModel", "radial_chemical_embed": embed, **given}
