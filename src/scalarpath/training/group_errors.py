"""Errors of predictions in all, for every element and for every group of frames, added up while frames go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from rich.markup import escape
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.metrics import ALL, ELEMENT, KIND, TERMS, metric_name, metrics_from_sums
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import add_columns
from scalarpath.training.residuals import residual

SHOWN = 30  # groups in the table on the screen


class GroupErrors:
    """Sums of errors by group: ALL frames, the atoms of an ELEMENT, and the frames with one value of a key.

    Of an element there are errors of what every atom has, the forces. A missing label is counted nowhere.
    """

    def __init__(self) -> None:
        # (kind of group, name) -> quantity -> sums of TERMS and the number of labels
        self._sums: dict[tuple[str, str], dict[str, np.ndarray]] = {}

    @torch.no_grad()
    def update(self, prediction: Mapping[str, Tensor], batch: Batch, groups: Sequence[tuple[str, str] | None]) -> None:
        """Add one batch; ``groups`` has a kind and a name of group for every frame, or None."""
        for name, quantity in QUANTITIES.items():
            difference, known, label = residual(name, prediction, batch)
            columns = [*(term(difference, label) for term in TERMS), known]
            rows = torch.stack([c.double().reshape(len(c), -1).sum(1) for c in columns], dim=1)  # [G or N, TERMS + 1]
            if quantity.of_atoms:
                elements = rows.new_zeros(len(chemical_symbols), rows.shape[1]).index_add(0, batch.z, rows)
                for z in elements[:, -1].nonzero().flatten().tolist():
                    self._add((ELEMENT, chemical_symbols[z]), name, elements[z])
                rows = rows.new_zeros(batch.num_graphs, rows.shape[1]).index_add(0, batch.batch, rows)
            self._add((ALL, ""), name, rows.sum(0))
            for group, row in zip(groups, rows.cpu(), strict=True):
                if group is not None and row[-1] > 0:
                    self._add(group, name, row)

    def _add(self, group: tuple[str, str], quantity: str, sums: Tensor) -> None:
        found = self._sums.setdefault(group, {})
        found[quantity] = found.get(quantity, 0.0) + sums.cpu().numpy()

    def results(self) -> dict[str, Any]:
        """Metrics of ALL frames, then by kind of group and name; empty where there was no label."""
        found: dict[str, Any] = {kind: {} for kind in (ALL, ELEMENT)}
        for (kind, name), quantities in self._sums.items():
            metrics: dict[str, float] = {}
            for quantity, (*sums, labels) in quantities.items():
                metrics |= metrics_from_sums(quantity, sums, labels)
            if kind == ALL:
                found[ALL] = metrics
            else:
                found.setdefault(kind, {})[name] = metrics
        return found if found[ALL] else {}


def by_kind(kinds: Sequence[str | None]) -> list[tuple[str, str] | None]:
    """Groups of ``GroupErrors.update`` from the config_type of every frame, or None."""
    return [None if kind is None else (KIND, kind) for kind in kinds]


def errors_table(results: Mapping[str, Any], title: str = "Errors") -> Table:
    """The results of ``GroupErrors`` with one line per group; of very many groups the first SHOWN."""
    table = Table(title=f"{title} (MAE, RMSE)")
    shown = [name for name in QUANTITIES if metric_name(name) in results[ALL]]
    table.add_column("frames")
    columns = product(shown, ("mae", "rmse"))
    add_columns(table, *(f"{name} {kind.upper()}\n{QUANTITIES[name].shown_unit}" for name, kind in columns))

    def add(group: str, metrics: Mapping[str, float], last: bool) -> None:
        values = [metrics.get(metric_name(name, statistic)) for name in shown for statistic in ("mae", "rmse")]
        cells = ["" if value is None else f"{value:.4g}" for value in values]
        table.add_row(escape(group), *cells, end_section=last)

    add("all", results[ALL], True)
    for kind, groups in results.items():
        if kind == ALL:
            continue
        names = list(groups)
        for name in names[:SHOWN]:
            add(f"{kind} {name}", groups[name], name == names[:SHOWN][-1])
        if len(names) > SHOWN:
            table.caption = f"{len(names) - SHOWN} more of {kind} are in the file"
    return table
