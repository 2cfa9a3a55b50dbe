"""What sevenn's own calculator says of twenty structures, with and without sevenn installed.

``python tests/sevenn_reference.py`` (in an environment with sevenn) makes tests/parity/fixtures/sevennet anew: a small
model with random weights as sevenn saves it, and its predictions and those of SevenNet-0 in both precisions.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, graphene, molecule, surface
from ase.spacegroup import crystal

FOLDER = Path(__file__).parent / "parity" / "fixtures" / "sevennet"
SMALL = FOLDER / "small.pth"
RELEASED = "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"
KEYS = ("energies", "forces", "stress")
ELEMENTS = (1, 3, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 22, 26, 28, 29, 31, 33, 38, 47, 78)


def released() -> Path | None:
    """The file of SevenNet-0 in the installed package, which is not imported, or beside the checkout."""
    spec = find_spec("sevenn")
    places = [Path(str(spec.origin)).parent / "pretrained_potentials"] if spec is not None else []
    places.append(Path(__file__).resolve().parents[2] / "shared" / "parity" / "sevennet")
    return next((place / RELEASED for place in places if (place / RELEASED).is_file()), None)


def structures() -> list[Atoms]:
    """Crystals, molecules and surfaces of 21 elements, none at rest, the crystals strained."""
    slab = fcc111("Pt", (2, 2, 3), vacuum=6.0)
    add_adsorbate(slab, "H", 1.0, "fcc")
    add_adsorbate(slab, "O", 1.3, "hcp")
    oxide = surface(bulk("MgO", "rocksalt", a=4.21, cubic=True), (0, 0, 1), 2, vacuum=6.0)
    oxide.pbc = (True, True, False)
    sheet = graphene(size=(2, 2, 1), vacuum=5.0)
    sheet.pbc = (True, True, False)
    found = [
        bulk("Si", a=5.43, cubic=True),
        bulk("Fe", a=2.87, cubic=True),
        bulk("Ag", a=4.09, cubic=True),
        bulk("Al", a=4.05) * (2, 2, 1),
        bulk("LiF", "rocksalt", a=4.03, cubic=True),
        bulk("NaCl", "rocksalt", a=5.64),
        bulk("GaAs", "zincblende", a=5.65, cubic=True),
        bulk("NiO", "rocksalt", a=4.18),
        bulk("CuS", "zincblende", a=5.3),
        crystal(
            ["Ti", "O"], [(0, 0, 0), (0.3053, 0.3053, 0)], spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90]
        ),
        crystal(
            ["Sr", "Ti", "O"],
            [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
            spacegroup=221,
            cellpar=[3.905] * 3 + [90] * 3,
        ),
        slab,
        oxide,
        sheet,
        surface(bulk("Cu", cubic=True), (2, 1, 1), 2, vacuum=5.0, periodic=True),
        *(molecule(name) for name in ("CH3CH2OH", "H2O", "C6H6", "SO2", "N2")),
    ]
    for number, atoms in enumerate(found):
        if atoms.pbc.all():
            strain = np.random.default_rng(number).normal(0.0, 0.02, (3, 3))
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        atoms.rattle(0.08, seed=number)
    return found


def calculator_of_sevenn(file: Path, double: bool) -> Callable[[Atoms], dict[str, np.ndarray]]:
    """Atomic energies, forces and stress of sevenn's own calculator; needs sevenn.

    double: all in float64, couplings included, which the file has in float32; sevenn itself knows float32 only.
    """
    import sevenn.nn.node_embedding as embedding
    import sevenn.util
    from e3nn import o3
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator(str(file), device="cpu")
    correct, one_hot = sevenn.util.dtype_correct, torch.nn.functional.one_hot
    if double:
        calculator.model.double()
        for name, buffer in calculator.model.named_buffers():
            if "_w3j_" in name:
                buffer.copy_(o3.wigner_3j(*map(int, name.split("_w3j_")[1].split("_")), dtype=torch.float64))

    class Double:
        """one_hot whose ``float()`` is float64."""

        def __init__(self, values: torch.Tensor):
            self.float = values.double

    def predict(atoms: Atoms) -> dict[str, np.ndarray]:
        try:
            if double:
                sevenn.util.dtype_correct = lambda value: correct(value, torch.float64)
                embedding.torch.nn.functional.one_hot = lambda *arguments: Double(one_hot(*arguments))
            calculator.calculate(atoms)
        finally:
            sevenn.util.dtype_correct, embedding.torch.nn.functional.one_hot = correct, one_hot
        return {key: np.asarray(calculator.results[key]) for key in KEYS}

    return predict


def stored(name: str) -> list[dict[str, np.ndarray]]:
    """The stored predictions of a model (``small_float64``, ...) on ``structures()``, in their order."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return [{key: arrays[f"{number}_{key}"] for key in KEYS} for number in range(len(structures()))]


def save_small_model() -> None:
    """A model with random weights, two layers and all of what SevenNet-0 has, as sevenn saves it; needs sevenn."""
    from sevenn._const import (
        DEFAULT_DATA_CONFIG,
        DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
        DEFAULT_TRAINING_CONFIG,
    )
    from sevenn.model_build import build_E3_equivariant_model

    numbers = sorted(ELEMENTS, reverse=True)  # another order than ours
    config = {
        **DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
        **DEFAULT_DATA_CONFIG,
        **DEFAULT_TRAINING_CONFIG,
        "version": "0.13.0",
        "_model_type": "E3_equivariant_model",
        "_type_map": {z: index for index, z in enumerate(numbers)},
        "_number_of_species": len(numbers),
        "_chemical_species_by_atomic_number": numbers,
        "cutoff": 4.0,
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.5},
        "radial_basis": {"radial_basis_name": "bessel", "bessel_basis_num": 6},
        "is_parity": False,
        "lmax": 2,
        "channel": 8,
        "irreps_manual": ["8x0e", "8x0e+4x1e+2x2e", "8x0e+4x1e+2x2e", "8x0e"],
        "num_convolution_layer": 3,
        "weight_nn_hidden_neurons": [6, 6],
        "self_connection_type": "linear",
        "conv_denominator": [3.0, 4.0, 5.0],
        "shift": [-0.1 * z for z in numbers],
        "scale": [1.0 + 0.01 * z for z in numbers],
        "use_species_wise_shift_scale": True,
        "load_dataset_path": [],
    }
    config = {key: value for key, value in config.items() if key in KEPT}
    torch.manual_seed(0)
    full = {**DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG, **config}
    model = build_E3_equivariant_model(full)
    torch.save(
        {
            "model_state_dict": {key: value.detach() for key, value in model.state_dict().items()},
            "optimizer_state_dict": {},
            "scheduler_state_dict": {},
            "config": full,
            "epoch": 0,
        },
        SMALL,
    )


KEPT = (
    "version", "_model_type", "_type_map", "_number_of_species", "_chemical_species_by_atomic_number", "cutoff",
    "cutoff_function", "radial_basis", "is_parity", "lmax", "channel", "irreps_manual", "num_convolution_layer",
    "weight_nn_hidden_neurons", "self_connection_type", "conv_denominator", "shift", "scale",
    "use_species_wise_shift_scale",
)  # fmt: skip


def main() -> None:
    """Write the fixtures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_small_model()
    for name, file in (("small", SMALL), ("released", released())):
        for double in (True, False):
            predict = calculator_of_sevenn(file, double)
            arrays = {
                f"{k}_{key}": value for k, atoms in enumerate(structures()) for key, value in predict(atoms).items()
            }
            np.savez_compressed(FOLDER / f"{name}_float{64 if double else 32}.npz", **arrays)


if __name__ == "__main__":
    main()
