"""Weighted losses on energy per atom, forces and stress, masked where a label is missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch

from scalarpath.core.quantities import QUANTITIES
from scalarpath.runs.sections import LossSettings
from scalarpath.training.residuals import residual


def squared(difference: Tensor) -> Tensor:
    """Elementwise square."""
    return difference.square()


def absolute(difference: Tensor) -> Tensor:
    """Elementwise magnitude."""
    return difference.abs()


def huber(difference: Tensor, delta: float) -> Tensor:
    """Elementwise Huber loss: x²/2 up to ``delta``, delta (\\|x\\| - delta/2) beyond."""
    return functional.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=delta)


class WeightedLoss(nn.Module):
    """Sum over properties of weight x mean of an elementwise penalty over the labels that exist.

    The mean runs over structures (energy per atom, eV²), atoms x 3 (forces) and structures x 9 (stress). Under
    torch.distributed the means run over the labels of all processes, so that averaging gradients over processes gives
    what one process with the joined batch would give, however unevenly labels are spread.

    ``frame_weights`` [frames of the data set]: the penalties of a frame are multiplied by its weight; the labels that a
    mean runs over are counted as without.
    """

    frame_weights: Tensor | None

    def __init__(self, settings: LossSettings, frame_weights: Tensor | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("frame_weights", frame_weights, persistent=False)

    def weights(self, progress: float) -> dict[str, float]:
        """Weights in force at ``progress`` (0 at the first epoch, 1 at the end)."""
        stage_two = self.settings.stage_two
        stage = self.settings if stage_two is None or progress < stage_two.start else stage_two
        return {prop: getattr(stage, prop) for prop in QUANTITIES}

    def terms(self, penalties: Mapping[str, float], progress: float) -> dict[str, float]:
        """``loss`` and its weighted parts ``loss_energy`` ... from the mean penalties of the properties with labels."""
        parts = {
            f"loss_{prop}": weight * penalties[prop]
            for prop, weight in self.weights(progress).items()
            if prop in self.settings.required and prop in penalties
        }
        return {"loss": sum(parts.values()), **parts}

    def penalty(self, prop: str, difference: Tensor) -> Tensor:
        """Elementwise penalty of a difference (same shape)."""
        if self.settings.kind == "mae":
            return absolute(difference)
        if self.settings.huber_delta is not None:
            return huber(difference, getattr(self.settings.huber_delta, prop))
        return squared(difference)

    def forward(self, prediction: Mapping[str, Tensor], batch: Batch, progress: float = 0.0) -> Tensor:
        """Loss of one batch at ``progress``, a float64 scalar; a property without weight is not looked at."""
        weights = {prop: weight for prop, weight in self.weights(progress).items() if weight > 0}
        sums, counts = [], []
        for prop in weights:
            difference, known, _ = residual(prop, prediction, batch)
            penalty = self.penalty(prop, difference)
            if self.frame_weights is not None:
                of_frames = self.frame_weights.index_select(0, batch.frame)
                of_rows = of_frames.index_select(0, batch.batch) if QUANTITIES[prop].of_atoms else of_frames
                penalty = penalty * of_rows.view(-1, *(1 for _ in penalty.shape[1:]))
            sums.append(penalty.sum())
            counts.append(known.sum())
        count = torch.stack(counts).to(torch.float64)
        scale = torch.tensor(list(weights.values()), dtype=torch.float64, device=count.device)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(count)
            scale = scale * torch.distributed.get_world_size()
        return (scale / count.clamp(min=1.0) * torch.stack(sums)).sum()
