"""Errors of a potential over an exact set of structures, and those of a predictor that has learned next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from scalarpath.graph import AtomicGraph, collate
from scalarpath.training.metrics import EpochErrors


def evaluate(potential: Any, graphs: Sequence[AtomicGraph], batch_size: int) -> dict[str, float]:
    """Errors over ``graphs``, by one process, every structure once, on the device of the potential.

    Returns ``energy_mae_meV_atom``, ``energy_rmse_meV_atom``, ``energy_labels`` and the like for forces (meV/Å) and
    stress (meV/Å^3); a property without labels is absent. The batch size changes nothing beyond rounding.
    """
    device = next(potential.parameters()).device
    errors = EpochErrors().to(device)
    was_training = potential.training
    potential.eval()
    for start in range(0, len(graphs), batch_size):
        batch = collate(graphs[start : start + batch_size]).to(device)
        with torch.enable_grad():
            prediction = potential(batch)
        errors.update(prediction, batch)
    potential.train(was_training)
    return errors.compute()


def trivial_errors(train: Sequence[AtomicGraph], test: Sequence[AtomicGraph]) -> dict[str, float]:
    """Errors over ``test`` of one energy per element (least squares on ``train``), zero forces, mean ``train`` stress.

    They say how much better than nothing a potential is. Same names as ``evaluate``.
    """
    elements = sorted({int(z) for graph in (*train, *test) for z in graph.z})
    labelled = [graph for graph in train if torch.isfinite(graph.energy).all()]
    counts = np.array([_composition(graph, elements) for graph in labelled])
    energies = np.array([float(graph.energy) for graph in labelled])
    per_element = np.linalg.lstsq(counts, energies, rcond=None)[0] if labelled else np.zeros(len(elements))
    stresses = [graph.stress for graph in train if torch.isfinite(graph.stress).all()]
    mean_stress = torch.cat(stresses).mean(dim=0, keepdim=True) if stresses else torch.zeros(1, 3, 3)
    errors = EpochErrors()
    for graph in test:
        energy = torch.tensor([float(_composition(graph, elements) @ per_element)], dtype=torch.float64)
        prediction = {"energy": energy, "forces": torch.zeros_like(graph.pos), "stress": mean_stress.to(torch.float64)}
        errors.update(prediction, collate([graph]))
    return errors.compute()


def _composition(graph: AtomicGraph, elements: Sequence[int]) -> np.ndarray:
    return np.array([(graph.z == z).sum().item() for z in elements], dtype=float)
