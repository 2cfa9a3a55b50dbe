"""Errors over an epoch or a test set: MAE, RMSE and loss penalties per property, in float64."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Batch
from torchmetrics import Metric

from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.units import EV_TO_MEV
from scalarpath.training.losses import WeightedLoss
from scalarpath.training.residuals import residual

UNITS = {"energy": "meV_atom", "forces": "meV_A", "stress": "meV_A3"}


def metric_names(prop: str) -> tuple[str, str]:
    """Names of the MAE and the RMSE of a property, for example ``forces_mae_meV_A``, ``forces_rmse_meV_A``."""
    return f"{prop}_mae_{UNITS[prop]}", f"{prop}_rmse_{UNITS[prop]}"


class EpochErrors(Metric):
    """Running errors of energy per atom, forces and stress.

    Sums are float64 and skip missing labels, so the result does not depend on the batch size beyond rounding. Stress
    counts nine components (see ``residuals.residual``). A property without any label has no entry in the result.

    With ``loss`` the mean penalty of every property is kept too. ``sharded`` says whether every process sees its own
    part of the data (the sums are then joined) or all of it.
    """

    full_state_update = False
    sums: Tensor  # [absolute, squared, penalty, count] x QUANTITIES

    def __init__(self, loss: WeightedLoss | None = None, *, sharded: bool = False) -> None:
        super().__init__(sync_on_compute=sharded)
        # inside a tuple, so that torch does not take the loss for a part of the metric
        self._loss = (loss,)
        self.add_state("sums", torch.zeros(4, len(QUANTITIES), dtype=torch.float64), dist_reduce_fx="sum")

    @torch.no_grad()
    def update(self, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        """Add one batch; ``prediction`` may lack the stress, which then counts as unlabelled."""
        (loss,) = self._loss
        columns = []
        for prop in QUANTITIES:
            if prop not in prediction:
                columns.append(self.sums.new_zeros(4))
                continue
            difference, known = residual(prop, prediction, batch)
            penalty = difference if loss is None else loss.penalty(prop, difference)
            columns.append(torch.stack([difference.abs().sum(), difference.square().sum(), penalty.sum(), known.sum()]))
        self.sums += torch.stack(columns, dim=1)

    def compute(self) -> dict[str, float]:
        """MAE and RMSE in meV units, ``<property>_labels``; with a loss also ``<property>_penalty`` (eV units)."""
        result: dict[str, float] = {}
        for prop, (absolute, squared, penalty, count) in zip(QUANTITIES, self.sums.T.tolist(), strict=True):
            if count == 0:
                continue
            mae, rmse = metric_names(prop)
            result[mae] = EV_TO_MEV * absolute / count
            result[rmse] = EV_TO_MEV * (squared / count) ** 0.5
            result[f"{prop}_labels"] = count
            if self._loss != (None,):
                result[f"{prop}_penalty"] = penalty / count
        return result
