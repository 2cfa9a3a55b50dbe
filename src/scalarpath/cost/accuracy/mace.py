"""``mace_run_train`` of mace-torch (0.3.16): its command, its log and its final model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import ase.io

from scalarpath.core.errors import ConfigError
from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.cost.accuracy.clock import run_tool
from scalarpath.cost.accuracy.frames import KEYS, mean_errors
from scalarpath.cost.accuracy.task import LOG_OF_COMMAND, Errors, Task

NAME = "mace"
START_OF_STAGE_TWO = 0.8  # of all epochs, as 1200 of 1500 in the README of mace-torch
RATE = 0.01
INTERACTIONS = {
    "plain": "RealAgnosticInteractionBlock",
    "residual": "RealAgnosticResidualInteractionBlock",
    "density": "RealAgnosticDensityInteractionBlock",
    "density_residual": "RealAgnosticDensityResidualInteractionBlock",
    "nonlinear": "RealAgnosticResidualNonLinearInteractionBlock",
}
TRANSFORMS = {None: "None", "agnesi": "Agnesi", "soft": "Soft"}
RECIPES: dict[str, tuple[str, ...]] = {
    # amsgrad is the program's default; the scheduler is ReduceLROnPlateau with a patience of 50 epochs
    "stage_two": (),
    "ema": ("--ema", "--ema_decay=0.99", "--amsgrad"),
}
LOGGED = {"energy": "mae_e_per_atom", "forces": "mae_f", "stress": "mae_stress"}


def command(task: Task) -> list[str]:
    """Stage two at a tenth of the rate for the last fifth of the epochs, with the weights of the loss kept."""
    arm, weights, stressed = task.arm, task.weights, "stress" in task.parts.quantities
    settings = {
        "name": NAME,
        "seed": arm.seed,
        **{f"{part}_file": task.parts.files[part] for part in ("train", "valid", "test")},
        **{f"{name}_key": key for name, key in KEYS.items()},
        "E0s": "average",
        "compute_stress": stressed,
        "loss": "stress" if stressed else "weighted",
        **{f"{name}_weight": weights[name] for name in task.parts.quantities},
        **{f"swa_{name}_weight": weights[name] for name in task.parts.quantities},
        "start_swa": max(1, round(START_OF_STAGE_TWO * arm.epochs)),
        "lr": RATE,
        "swa_lr": RATE / 10,
        "batch_size": task.batch_size,
        "valid_batch_size": 16,
        "max_num_epochs": arm.epochs,
        "default_dtype": task.dtype,
        "device": "cpu",
        "plot": False,
        "error_table": "PerAtomMAEstressvirials" if stressed else "PerAtomMAE",
        **_model(task.options),
    }
    options = [f"--{key}={value}" for key, value in settings.items()]
    return [task.python, "-m", "mace.cli.run_train", *options, "--swa", *RECIPES[arm.recipe]]


def epochs(task: Task) -> list[dict[str, float]]:
    """From the JSON lines of ``results``: a line per step, and one per evaluation (the first is before training)."""
    found, steps = [], 0
    for file in (task.folder / "results").glob("*_train.txt"):
        for line in file.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                break  # being written
            steps += '"opt"' in line
            if '"eval"' in line and (record := json.loads(line))["epoch"] is not None:
                errors = {metric_name(q): QUANTITIES[q].factor * record[LOGGED[q]] for q in task.parts.quantities}
                found.append({"epoch": record["epoch"] + 1, "steps": steps, **errors})
    return found


def final(task: Task) -> dict[str, Errors]:
    """Errors of the model that the program saves, predicted by its own ``mace_eval_configs``."""
    models = [task.folder / f"{NAME}{end}.model" for end in ("_stagetwo", "")]
    model = next(path for path in models if path.exists())
    out = {}
    for part in ("valid", "test"):
        predicted = task.folder / f"{part}_predicted.xyz"
        options = {"configs": task.parts.files[part], "model": model, "output": predicted, "default_dtype": task.dtype}
        arguments = [f"--{key}={value}" for key, value in options.items()]
        if "stress" in task.parts.quantities:
            arguments.append("--compute_stress")
        tool = [task.python, "-m", "mace.cli.eval_configs", *arguments, "--batch_size=16"]
        run_tool("mace_eval_configs", tool, task.folder, task.folder / f"{part}_{LOG_OF_COMMAND}")
        frames = ase.io.read(predicted, index=":")
        out[part] = mean_errors(
            task.parts.files[part],
            [{q: atoms.arrays.get(f"MACE_{q}", atoms.info.get(f"MACE_{q}")) for q in KEYS} for atoms in frames],
            task.parts.quantities,
        )
    return out


def _model(options: Mapping[str, Any]) -> dict[str, Any]:
    """Upstream's names of the options of conf/backbone/mace*.yaml."""
    if options["pair_cutoffs"] is not None:
        raise ConfigError("backbone.pair_cutoffs: mace_run_train has no cutoffs of pairs; set it to null.")
    same = ("num_channels", "max_L", "max_ell", "correlation", "num_interactions", "num_polynomial_cutoff")
    renamed = {"num_polynomial_cutoff": "num_cutoff_basis"}
    return {
        "model": "MACE",
        "r_max": options["cutoff"],
        **{renamed.get(key, key): options[key] for key in same},
        "num_radial_basis": options["num_bessel"],
        "radial_type": options["radial_type"],
        "radial_MLP": options["radial_mlp"],
        "MLP_irreps": f"{options['readout_mlp']}x0e",
        "gate": options["gate"],
        "interaction_first": INTERACTIONS[options["interaction_first"]],
        "interaction": INTERACTIONS[options["interaction"]],
        "distance_transform": TRANSFORMS[options["distance_transform"]],
        "apply_cutoff": options["envelope_on"] == "features",
        "scaling": "rms_forces_scaling",
    }
