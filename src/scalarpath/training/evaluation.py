"""Errors of a potential over an exact set of structures, and those of a predictor that has learned next to nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.errors import TrainingError
from scalarpath.core.metrics import PARTS, TEST, TRAIN, VALIDATION
from scalarpath.graph import AtomicGraph, collate
from scalarpath.training.frame_errors import FrameErrors
from scalarpath.training.metrics import EpochErrors

if TYPE_CHECKING:
    from scalarpath.data.datamodule import AtomicDataModule
    from scalarpath.training.record import Record


Observer = Callable[[Mapping[str, Tensor], Batch], None]
"""Is given predictions and the batch of which they are."""


def evaluate(potential: Any, batches: Iterable[Batch], *observers: Observer) -> dict[str, float]:
    """Errors over ``batches`` of every structure once, by one process, on the device of the potential.

    Returns ``energy_mae_meV_atom``, ``energy_rmse_meV_atom``, ``energy_labels`` and the like for forces (meV/Å) and
    stress (meV/Å^3); a property without labels is absent. The batches' size changes nothing beyond rounding.
    ``observers`` are given every batch too.
    """
    device = next(potential.parameters()).device
    errors = EpochErrors().to(device)
    was_training = potential.training
    potential.eval()
    for batch in batches:
        batch = batch.to(device)
        with torch.enable_grad():
            prediction = potential(batch)
        errors.update(prediction, batch)
        for observer in observers:
            observer(prediction, batch)
    potential.train(was_training)
    return errors.compute()


def errors_by_part(
    potential: Any,
    data: AtomicDataModule,
    most_train_frames: int,
    test_errors: FrameErrors | None,
    record: Record | None = None,
    of_validation: Observer | None = None,
) -> dict[str, float]:
    """Errors of the same weights over test, validation and train frames, under the names of summary.json.

    Those of train are over ``most_train_frames`` frames at most (``data.train_sample``; 0: over none), whose number is
    ``train_frames/evaluated``. ``trivial/...`` are those of ``trivial_errors``. ``test_errors`` is given every test
    structure; None leaves the test part closed: no number is made of its labels. ``record`` is given all that is
    predicted, ``of_validation`` the validation part. Raises TrainingError for an error that is not finite.
    """

    def observers(part: str) -> list[Observer]:
        return [] if record is None else [partial(record.update, part)]

    sample = data.train_sample(most_train_frames)
    watching = observers(VALIDATION) + ([] if of_validation is None else [of_validation])
    found = {PARTS[VALIDATION]: evaluate(potential, data.val_dataloader(), *watching)}
    if len(sample):
        errors = evaluate(potential, data.in_order(sample), *observers(TRAIN))
        found[PARTS[TRAIN]] = errors | {"evaluated": len(sample)}
    if test_errors is not None:
        errors = evaluate(potential, data.test_dataloader(), test_errors.update, *observers(TEST))
        found = {PARTS[TEST]: errors} | found
        found["trivial"] = trivial_errors(data.train_graphs, data.test_graphs)
    flat = {f"{part}/{name}": value for part, errors in found.items() for name, value in errors.items()}
    for name, value in flat.items():
        if not math.isfinite(value):
            raise TrainingError(f"{name} is not finite; look at the frames of this part or lower optimizer.lr.")
    return flat


def trivial_errors(train: Iterable[AtomicGraph], test: Iterable[AtomicGraph]) -> dict[str, float]:
    """Errors over ``test`` of one energy per element (least squares on ``train``), zero forces, mean ``train`` stress.

    They say how much better than nothing a potential is. Same names as ``evaluate``.
    """
    # each graph is read once and not kept: the train split need not fit into memory
    compositions, energies, stress, stresses = [], [], torch.zeros(1, 3, 3, dtype=torch.float64), 0
    for graph in train:
        if torch.isfinite(graph.energy).all():
            compositions.append(_composition(graph))
            energies.append(float(graph.energy))
        if torch.isfinite(graph.stress).all():
            stress += graph.stress
            stresses += 1
    elements = sorted({z for composition in compositions for z in composition})
    counts = np.array([[composition[z] for z in elements] for composition in compositions], dtype=float)
    fitted = np.linalg.lstsq(counts, np.array(energies), rcond=None)[0] if energies else []
    per_element = dict(zip(elements, fitted, strict=True))
    mean_stress = stress / max(1, stresses)
    errors = EpochErrors()
    for graph in test:
        total = sum(count * per_element.get(z, 0.0) for z, count in _composition(graph).items())
        energy = torch.tensor([total], dtype=torch.float64)
        prediction = {"energy": energy, "forces": torch.zeros_like(graph.pos), "stress": mean_stress}
        errors.update(prediction, collate([graph]))
    return errors.compute()


def _composition(graph: AtomicGraph) -> Counter[int]:
    """Number of atoms by atomic number."""
    return Counter(graph.z.tolist())
