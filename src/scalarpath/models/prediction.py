"""Predictions for frames that come one by one, made in batches: only the frames of one batch are in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.errors import DataError
from scalarpath.core.quantities import QUANTITIES
from scalarpath.data.batches import filled
from scalarpath.data.labels import StreamedLabels
from scalarpath.data.reading import Frame
from scalarpath.deploy.committee import SPREAD, Committee
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential

OF_ATOMS = {
    **{name: quantity.of_atoms for name, quantity in QUANTITIES.items()},
    **{key: QUANTITIES[name].of_atoms for name, key in SPREAD.items()},
}
"""What is predicted of a frame, and whether it belongs to its atoms; the spread only by a committee."""


class Predicted(NamedTuple):
    """The frames of one batch, their graphs joined, with labels, and what the potential predicts of them."""

    frames: list[Frame]
    batch: Batch
    prediction: Mapping[str, Tensor]

    def of_frames(self) -> Iterator[tuple[Frame, dict[str, np.ndarray]]]:
        """Every frame with its predictions, in the shapes and units of ``core.quantities`` and ``Committee``."""
        arrays = {name: self.prediction[name].detach().cpu().numpy() for name in OF_ATOMS if name in self.prediction}
        atoms = self.batch.ptr.tolist()
        for k, frame in enumerate(self.frames):
            yield (
                frame,
                {
                    name: values[atoms[k] : atoms[k + 1]] if OF_ATOMS[name] else values[k]
                    for name, values in arrays.items()
                },
            )


def predicted(
    potential: Potential | Committee,
    frames: Iterable[Frame],
    labels: StreamedLabels | None,
    *,
    max_edges: int | None,
    batch_size: int,
) -> Iterator[Predicted]:
    """Predictions for ``frames`` in their order, in batches of at most ``max_edges`` edges and ``batch_size`` frames.

    labels: reads those that the frames carry; None: no frame has any. Raises DataError, with file and frame, for an
    element that the potential does not know, a structure of which no graph can be made, a label that cannot be, and a
    prediction that is not finite.
    """

    def with_graph(frame: Frame) -> tuple[Frame, AtomicGraph]:
        frame.require_known(potential.species, charged=potential.charged)
        found = None if labels is None else labels.of(frame)
        values = {} if found is None else {name: found.of(name) for name in QUANTITIES}
        return frame, AtomicGraph.from_atoms(frame.atoms, potential.cutoff, where=frame.where, **values)

    graphs = map(with_graph, frames)
    for pairs in filled(graphs, lambda pair: pair[1].num_edges, max_edges, batch_size):
        batch = collate([graph for _, graph in pairs]).to(potential.device)
        with torch.enable_grad():
            prediction = potential(batch)
        result = Predicted([frame for frame, _ in pairs], batch, prediction)
        _require_finite(result)
        yield result


def _require_finite(result: Predicted) -> None:
    wrong = ~torch.isfinite(result.prediction["energy"])
    wrong[result.batch.batch[~torch.isfinite(result.prediction["forces"]).all(dim=1)]] = True
    if bool(wrong.any()):
        frame = result.frames[int(wrong.nonzero()[0])]
        raise DataError(
            f"{frame.where}: the prediction is not finite, so this structure is far from all that the potential was "
            "made for; remove the frame, or try dtype=float64."
        )
