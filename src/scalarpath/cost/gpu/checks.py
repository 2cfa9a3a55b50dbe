"""What every potential must obey, on the device, and that it computes there what it computes on a CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation

from scalarpath.cost.gpu.rows import Row, reason
from scalarpath.cost.heads import calibrated_potential
from scalarpath.cost.timing import loss_of
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential
from scalarpath.potential.backend import TOLERANCE

STEP = 1e-5  # Å, and of strain
EXACT = TOLERANCE[torch.float64]
NUMERIC = 1e-6  # of finite differences


def check_rows(setting: Mapping[str, Any]) -> Iterator[Row]:
    """One row per head of ``setting``: differences over the largest value, with their limits, and whether all hold."""
    for name, head in setting["heads"].items():
        row = {"part": "physics", "backbone": setting["name"], "head": name, "mode": "float64"}
        try:
            found = checks(setting["backbone"], head, setting["seed"], torch.device(setting["device"]))
            passed = all(value <= limit for value, limit in found.values())
            yield {**row, "passed": passed, "checks": found}
        except Exception as error:
            yield {**row, **reason(error)}


def checks(
    backbone: Mapping[str, Any], head: Mapping[str, Any], seed: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """By what is checked: the difference, over the largest value, and its limit."""
    atoms, cutoff = _crystal(), float(backbone["cutoff"])

    def batch(*frames: Atoms) -> Any:
        return collate([AtomicGraph.from_atoms(frame, cutoff) for frame in frames])

    on_cpu = calibrated_potential(head, backbone, batch(atoms), dtype="float64", seed=seed)
    _wake(on_cpu, seed)
    potential, single = (on_cpu.copy_to(dtype=dtype, device=device) for dtype in ("float64", "float32"))
    there, here = batch(atoms).to(device), _predictions(on_cpu, batch(atoms))
    own, rough = _predictions(potential, there), _predictions(single, there)
    found = {f"{key} as on the CPU": (_apart(own[key], here[key]), EXACT) for key in ("energy", "forces", "stress")}
    gradients = [_gradient(on_cpu, batch(atoms)), _gradient(potential, there)]
    found["gradient of a loss as on the CPU"] = (_apart(gradients[1], gradients[0]), EXACT)
    found["forces in float32"] = (_apart(rough["forces"], here["forces"]), TOLERANCE[torch.float32])

    rng = np.random.default_rng(seed)
    turn, order = Rotation.random(random_state=seed).as_matrix(), rng.permutation(len(atoms))
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions = atoms.positions @ turn.T
    rotated = _predictions(potential, batch(turned).to(device))
    found["rotated: energy"] = (_apart(rotated["energy"], own["energy"]), EXACT)
    found["rotated: forces"] = (_apart(rotated["forces"], own["forces"] @ turn.T), EXACT)
    found["rotated: stress"] = (_apart(rotated["stress"], turn @ own["stress"] @ turn.T), EXACT)
    permuted = _predictions(potential, batch(atoms[order]).to(device))
    found["permuted: forces"] = (_apart(permuted["forces"], own["forces"][order]), EXACT)

    move, strain = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))
    move, strain = move / np.linalg.norm(move), (strain + strain.T) / np.linalg.norm(strain + strain.T)
    frames = []
    for side in (STEP, -STEP):
        moved, strained = atoms.copy(), atoms.copy()
        moved.positions += side * move
        strained.set_cell(atoms.cell.array @ (np.eye(3) + side * strain), scale_atoms=True)
        frames += [moved, strained]
    energy = _predictions(potential, batch(*frames).to(device))["energy"]
    slope_move, slope_strain = (energy[:2] - energy[2:]) / (2 * STEP)
    forces, stress = own["forces"], own["stress"][0] * atoms.get_volume()
    found["forces as differences of energies"] = (
        float(abs(slope_move + (forces * move).sum()) / np.linalg.norm(forces)),
        NUMERIC,
    )
    found["stress as differences of energies"] = (
        float(abs(slope_strain - (stress * strain).sum()) / np.linalg.norm(stress)),
        NUMERIC,
    )
    return found


def _crystal() -> Atoms:
    """A rattled, sheared cell of two elements with a vacancy: nothing in it is symmetric."""
    atoms = bulk("LiF", "rocksalt", a=4.07, cubic=True)
    atoms.set_cell(atoms.cell.array @ [[1.0, 0.04, 0.0], [0.0, 0.97, 0.02], [0.03, 0.0, 1.02]], scale_atoms=True)
    atoms.rattle(0.15, seed=3)
    del atoms[5]
    return atoms


def _wake(potential: Potential, seed: int) -> None:
    """Move the head away from its start, where it changes nothing."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in potential.head_parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=noise, dtype=parameter.dtype))
        if potential.linear is not None:
            potential.linear.coefficients.normal_(0.0, 1e-3, generator=noise)


def _predictions(potential: Potential, batch: Any) -> dict[str, np.ndarray]:
    return {key: value.detach().cpu().numpy() for key, value in potential.eval()(batch).items()}


def _gradient(potential: Potential, batch: Any) -> np.ndarray:
    """Of a loss on energy, forces and stress by all parameters."""
    loss, parameters = loss_of(potential.train()(batch)), list(potential.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients]).cpu().numpy()


def _apart(value: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference over the largest reference."""
    return float(np.abs(value - reference).max() / np.abs(reference).max())
