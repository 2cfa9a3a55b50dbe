"""The validation frame that alone has chosen the tested epoch, if there is one.

The validation loss is a mean of squares, of which one frame unlike all others can make nearly all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.quantities import QUANTITIES
from scalarpath.training.evaluation import evaluate
from scalarpath.training.losses import WeightedLoss
from scalarpath.training.residuals import by_structure, residual

FRAME, RATIO = "best/deciding_frame", "best/last_over_best_without_it"
"""Of summary.json: the index of the frame in the data set; the validation loss of all other frames with the weights of
the last epoch over that with those of the best one."""
TELLING = 0.9  # a RATIO below this is worth a word: epochs close to each other differ by less


class FrameLosses:
    """What every structure given to ``update`` adds to the loss of all of them, at the weights of the last stage."""

    def __init__(self, loss: WeightedLoss) -> None:
        self._loss = loss
        self._frames: list[int] = []
        self._sums: list[Tensor] = []  # of each batch, [G, quantities]: penalties over the labels of a structure
        self._labels: list[Tensor] = []  # the same: how many

    @torch.no_grad()
    def update(self, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        """Add one batch."""
        sums, labels = [], []
        for name, quantity in QUANTITIES.items():
            difference, known, _ = residual(name, prediction, batch)
            sums.append(by_structure(self._loss.penalty(name, difference), quantity, batch))
            labels.append(by_structure(known, quantity, batch))
        self._frames += batch.frame.tolist()
        self._sums.append(torch.stack(sums, dim=1))
        self._labels.append(torch.stack(labels, dim=1))

    def terms(self) -> dict[int, float]:
        """By index in the data set; their sum is the loss."""
        sums, labels = torch.cat(self._sums), torch.cat(self._labels).sum(0)
        weights = self._loss.weights(1.0)
        scale = sums.new_tensor([weights[name] for name in QUANTITIES]) / labels.clamp(min=1.0)
        return dict(zip(self._frames, (sums @ scale).tolist(), strict=True))


def frame_losses(potential: Any, batches: Iterable[Batch], loss: WeightedLoss) -> dict[int, float]:
    """What every frame of ``batches`` adds to the loss of ``potential`` over all of them, by its index."""
    losses = FrameLosses(loss)
    evaluate(potential, batches, losses.update)
    return losses.terms()


def deciding_frame(best: Mapping[int, float], last: Mapping[int, float]) -> dict[str, Any]:
    """FRAME and RATIO where the loss over all frames but one is clearly smaller in the last epoch; else nothing.

    ``best``, ``last``: ``frame_losses`` over the validation frames with the weights of the epoch that was chosen and of
    the last one. The frame is the one that the last epoch has made worse by most.
    """
    frame = max(best, key=lambda index: last[index] - best[index])
    with_best, with_last = (sum(terms.values()) - terms[frame] for terms in (best, last))
    if not with_last < TELLING * with_best:
        return {}
    return {FRAME: frame, RATIO: with_last / with_best}
