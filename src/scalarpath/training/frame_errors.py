"""Test errors of every single structure, for statistics over structures and groups of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.units import EV_TO_MEV
from scalarpath.training.metrics import metric_names
from scalarpath.training.residuals import atoms_per_graph, residual

COLUMNS = ("energy_error_meV_atom", *metric_names("forces"), metric_names("stress")[0])


class FrameErrors:
    """Errors of the structures given to ``update``, in their order.

    energy_error_meV_atom is prediction minus label; forces and stress are mean (root mean square) over the components
    of the structure.
    """

    def __init__(self) -> None:
        self._atoms: list[int] = []
        self._rows: list[list[float]] = []

    @torch.no_grad()
    def update(self, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        """Add one batch; ``prediction`` may lack the stress."""
        atoms = atoms_per_graph(batch)
        energy, known = residual("energy", prediction, batch)
        columns = [torch.where(known, energy, torch.nan)]
        forces, known = residual("forces", prediction, batch)
        labels = _sum_over_atoms(known, batch)
        columns.append(_sum_over_atoms(forces.abs(), batch) / labels)
        columns.append((_sum_over_atoms(forces.square(), batch) / labels).sqrt())
        if "stress" in prediction:
            stress, known = residual("stress", prediction, batch)
            columns.append(stress.abs().sum((1, 2)) / known.sum((1, 2)))
        else:
            columns.append(torch.full_like(atoms, torch.nan))
        self._atoms += [int(n) for n in atoms]
        self._rows += (EV_TO_MEV * torch.stack([column.double() for column in columns], dim=1)).tolist()

    def to_csv(self, frames: Sequence[int], groups: Sequence[str]) -> str:
        """Table with the index of every structure in its data set and the group it belongs to; no label: empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["frame", "group", "atoms", *COLUMNS])
        for frame, group, atoms, row in zip(frames, groups, self._atoms, self._rows, strict=True):
            writer.writerow([frame, group, atoms, *("" if value != value else f"{value:.6g}" for value in row)])
        return text.getvalue()


def _sum_over_atoms(values: Tensor, batch: Batch) -> Tensor:
    """[N, 3] -> [G] in float64."""
    zeros = torch.zeros(batch.num_graphs, dtype=torch.float64, device=values.device)
    return zeros.index_add(0, batch.batch, values.double().sum(1))
