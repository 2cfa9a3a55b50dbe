"""Run by a python with mace-torch: ``mace_models.py FOLDER`` makes small models in float64 with random weights.

FOLDER gets NAME.model and, for each of its heads, NAME_HEAD.npz: what mace's own calculator says of three structures.
``two_heads.npz`` and ``two_heads.json`` in fixtures are the second model, as scalarpath's worker writes it, without
tables of couplings, and with the predictions of both heads.
"""

import sys
from pathlib import Path

import mace  # noqa: F401  before e3nn, which it configures
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from e3nn import o3
from mace import modules
from mace.calculators import MACECalculator
from mace.modules.lora import inject_LoRAs

COMMON = {
    "r_max": 4.0, "num_bessel": 4, "num_polynomial_cutoff": 5, "max_ell": 2, "num_interactions": 2, "num_elements": 3,
    "hidden_irreps": o3.Irreps("4x0e+4x1o"), "MLP_irreps": o3.Irreps("6x0e"), "gate": torch.nn.functional.silu,
    "interaction_cls": modules.RealAgnosticResidualInteractionBlock,
    "interaction_cls_first": modules.RealAgnosticInteractionBlock,
    "avg_num_neighbors": 9.5, "atomic_numbers": [1, 8, 14], "correlation": 2, "radial_MLP": [8, 8],
}  # fmt: skip
NONLINEAR = dict.fromkeys(
    ("interaction_cls", "interaction_cls_first"), modules.RealAgnosticResidualNonLinearInteractionBlock
)
DENSITY = {
    "interaction_cls": modules.RealAgnosticDensityResidualInteractionBlock,
    "interaction_cls_first": modules.RealAgnosticDensityInteractionBlock,
}
MODELS = {
    "one_head": (modules.ScaleShiftMACE, ["Default"], {"correlation": [2, 3]}),
    "two_heads": (modules.ScaleShiftMACE, ["pbe", "scan"], {}),
    "unscaled": (modules.MACE, ["a", "b", "c"], {**DENSITY, "distance_transform": "Agnesi", "gate": torch.tanh}),
    "nonlinear": (modules.ScaleShiftMACE, ["x", "y"], {**NONLINEAR, "apply_cutoff": False}),
    "lora": (modules.ScaleShiftMACE, ["Default"], {}),
}


def structures() -> list[Atoms]:
    """A crystal, a molecule and a disordered cell with all three elements."""
    positions = np.random.default_rng(0).uniform(0.0, 4.0, (5, 3))
    frames = [bulk("Si", cubic=True), molecule("H2O"), Atoms("SiO2H2", positions, cell=[4.0, 4.2, 4.4], pbc=True)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=seed)
    return frames


def main(folder: Path) -> None:
    torch.set_default_dtype(torch.float64)
    for name, (kind, heads, options) in MODELS.items():
        torch.manual_seed(1)
        number = np.arange(len(heads))
        statistics = {"atomic_energies": np.array([[-1.0, -1.5, -2.0]]) + 0.3 * number[:, None], "heads": heads}
        if kind is modules.ScaleShiftMACE:
            statistics |= {"atomic_inter_scale": 1.7 - number, "atomic_inter_shift": 0.1 + number}
        model = kind(**COMMON | options | statistics)
        if name == "lora":
            inject_LoRAs(model)
        torch.save(model, folder / f"{name}.model")
        for head in heads if name != "lora" else ():
            calculator = MACECalculator(folder / f"{name}.model", device="cpu", default_dtype="float64", head=head)
            found = {}
            for k, atoms in enumerate(structures()):
                calculator.calculate(atoms)
                found |= {f"{key}_{k}": getattr(atoms, key) for key in ("numbers", "positions", "pbc")}
                found |= {f"cell_{k}": atoms.cell.array}
                found |= {f"{key}_{k}": calculator.results[key] for key in ("energy", "forces", "stress")}
            np.savez(folder / f"{name}_{head}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
