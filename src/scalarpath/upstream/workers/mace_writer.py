"""Runs where mace-torch is installed: ``mace_writer.py FILE.model FOLDER`` makes a model and asks mace's calculator.

FOLDER has job.pt: ``hyperparameters`` and ``weights`` of ``export_mace``, and ``structures``, each with numbers,
positions, cell and periodic. FILE.model is written in float64, and FOLDER gets answers.pt: energy, forces and stress of
every structure, by MACECalculator from FILE.model. All files but FILE.model hold tensors and plain values.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mace  # noqa: F401  before e3nn, which it configures
import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from e3nn import o3
from mace import modules
from mace.calculators import MACECalculator


def built(given: dict[str, Any], weights: dict[str, torch.Tensor]) -> Any:
    """A ScaleShiftMACE of these hyperparameters and weights; raises ValueError where the two do not fit."""
    arguments = {
        **given,
        **{name: o3.Irreps(given[name]) for name in ("hidden_irreps", "MLP_irreps")},
        **{name: modules.interaction_classes[given[name]] for name in ("interaction_cls", "interaction_cls_first")},
        "gate": modules.gate_dict[str(given["gate"])],
        "num_elements": len(given["atomic_numbers"]),
        # those that follow stand among the weights
        "atomic_energies": np.zeros((1, len(given["atomic_numbers"]))),
        "atomic_inter_scale": 1.0,
        "atomic_inter_shift": 0.0,
    }
    model = modules.ScaleShiftMACE(**arguments, use_reduced_cg=False)
    state = model.state_dict()
    needed = {name for name, parameter in model.named_parameters() if parameter.numel() > 0}
    if wrong := sorted(set(weights) - set(state)) + sorted(needed - set(weights)):
        raise ValueError(f"'{wrong[0]}' stands on one side only")
    with torch.no_grad():
        for name, value in weights.items():
            state[name].copy_(value.reshape(state[name].shape))
    return model


def answer(calculator: MACECalculator, structure: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What the calculator says: energy [], forces [N, 3], stress [3, 3], which is NaN without a period."""
    arrays = {name: structure[name].numpy() for name in ("numbers", "positions", "cell")}
    calculator.calculate(Atoms(**arrays, pbc=structure["periodic"]))
    found = {name: torch.tensor(calculator.results[name], dtype=torch.float64) for name in ("energy", "forces")}
    stress = torch.tensor(voigt_6_to_full_3x3_stress(calculator.results["stress"]), dtype=torch.float64)
    return {**found, "stress": stress if structure["periodic"] else torch.full((3, 3), torch.nan)}


def main(file: Path, folder: Path) -> None:
    """Write FILE.model and answers.pt."""
    torch.set_default_dtype(torch.float64)
    job = torch.load(folder / "job.pt", weights_only=True)
    torch.save(built(job["hyperparameters"], job["weights"]), file)
    calculator = MACECalculator(file, device="cpu", default_dtype="float64")
    torch.save([answer(calculator, structure) for structure in job["structures"]], folder / "answers.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
