"""Test errors of every single structure, for statistics over structures and groups of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.metrics import FRAME_STATISTICS, labels_name, metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.training.residuals import atoms_per_graph, by_structure, residual

COLUMNS = tuple(
    column
    for name, quantity in QUANTITIES.items()
    for column in (
        *(metric_name(name, statistic) for statistic in quantity.frame_columns),
        *([labels_name(name)] if quantity.of_atoms else []),
    )
)


class FrameErrors:
    """Errors of the structures given to ``update``, in their order: the ``frame_columns`` of every quantity.

    ``energy_error_meV_atom`` is prediction minus label; forces and stress are mean (root mean square) over the
    components of the structure that have a label. Their number is beside those of atoms, of which some may have none:
    it is the weight of the structure in the error of the set.
    """

    def __init__(self) -> None:
        self._atoms: list[int] = []
        self._rows: list[list[float]] = []

    @torch.no_grad()
    def update(self, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        """Add one batch; ``prediction`` may lack the stress."""
        columns = []
        for name, quantity in QUANTITIES.items():
            if name not in prediction:
                missing = batch.pos.new_full((batch.num_graphs,), torch.nan, dtype=torch.float64)
                columns += [missing] * (len(quantity.frame_columns) + quantity.of_atoms)
                continue
            difference, known, label = residual(name, prediction, batch)
            labels = by_structure(known, quantity, batch)
            for statistic in (FRAME_STATISTICS[column] for column in quantity.frame_columns):
                sums = [by_structure(term(difference, label), quantity, batch) for term in statistic.terms]
                columns.append(statistic.value(quantity.factor, labels, *sums))  # 0 / 0 is NaN: no label
            if quantity.of_atoms:
                columns.append(labels)
        self._atoms += [int(n) for n in atoms_per_graph(batch)]
        self._rows += torch.stack(columns, dim=1).tolist()

    @property
    def energies(self) -> list[float]:
        """Energy errors of the structures that have a label, meV/atom."""
        column = COLUMNS.index(metric_name("energy", "error"))
        return [row[column] for row in self._rows if row[column] == row[column]]

    def to_csv(self, frames: Sequence[int], groups: Sequence[str]) -> str:
        """Table with the index of every structure in its data set and the group it belongs to; no label: empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["frame", "group", "atoms", *COLUMNS])
        for frame, group, atoms, row in zip(frames, groups, self._atoms, self._rows, strict=True):
            writer.writerow([frame, group, atoms, *("" if value != value else f"{value:.6g}" for value in row)])
        return text.getvalue()
