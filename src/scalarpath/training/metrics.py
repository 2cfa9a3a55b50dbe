"""Metrics over an epoch or a test set and loss penalties, in float64; ``core.metrics`` defines the metrics."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Batch
from torchmetrics import Metric

from scalarpath.core.metrics import TERMS, metrics_from_sums
from scalarpath.core.quantities import QUANTITIES
from scalarpath.training.losses import WeightedLoss
from scalarpath.training.residuals import residual


class EpochErrors(Metric):
    """Running errors of energy per atom, forces and stress.

    Sums are float64 and skip missing labels, so the result does not depend on the batch size beyond rounding. Stress
    counts nine components (see ``residuals.residual``). A property without any label has no entry in the result.

    With ``loss`` the mean penalty of every property is kept too. ``sharded`` says whether every process sees its own
    part of the data (the sums are then joined) or all of it.
    """

    full_state_update = False
    sums: Tensor  # [*TERMS, penalty, labels] x QUANTITIES

    def __init__(self, loss: WeightedLoss | None = None, *, sharded: bool = False) -> None:
        super().__init__(sync_on_compute=sharded)
        # inside a tuple, so that torch does not take the loss for a part of the metric
        self._loss = (loss,)
        self.add_state("sums", torch.zeros(len(TERMS) + 2, len(QUANTITIES), dtype=torch.float64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        """Add one batch; ``prediction`` may lack the stress, which then counts as unlabelled."""
        (loss,) = self._loss
        columns = []
        for prop in QUANTITIES:
            if prop not in prediction:
                columns.append(self.sums.new_zeros(len(self.sums)))
                continue
            difference, known, label = residual(prop, prediction, batch)
            penalty = difference if loss is None else loss.penalty(prop, difference)
            values = [*(term(difference, label) for term in TERMS), penalty, known]
            columns.append(torch.stack([value.sum() for value in values]))
        self.sums += torch.stack(columns, dim=1)

    def compute(self) -> dict[str, float]:
        """Metrics in the shown units, ``<property>_labels``; with a loss also ``<property>_penalty`` (eV units)."""
        result: dict[str, float] = {}
        for prop, (*sums, penalty, labels) in zip(QUANTITIES, self.sums.T.tolist(), strict=True):
            metrics = metrics_from_sums(prop, sums, labels)
            result |= metrics
            if metrics and self._loss != (None,):
                result[f"{prop}_penalty"] = penalty / labels
        return result
