"""Differences between prediction and label, the one definition that losses and metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.quantities import QUANTITIES, Quantity


class Residual(NamedTuple):
    """``difference`` is prediction minus label; it and ``label`` are zero where there is none (``known`` is false)."""

    difference: Tensor
    known: Tensor
    label: Tensor


def residual(prop: str, prediction: Mapping[str, Tensor], batch: Batch) -> Residual:
    """Residual of a quantity on a batch of G structures and N atoms, in the unit of ``core.quantities``.

    energy: [G] in eV per atom; forces: [N, 3] in eV/Å; stress: [G, 3, 3] in eV/Å^3. A label that is NaN is missing. A
    prediction that is not finite where there is a label stays visible.

    The stress counts all nine components, as the error tables of MACE and NequIP do: the RMSE is then the Frobenius
    norm of the error tensor / 3 and does not depend on how the axes lie.
    """
    known = torch.isfinite(batch[prop])
    # NaN labels must not enter the graph: NaN times a zero gradient is NaN
    label = torch.where(known, batch[prop], 0.0)
    difference = torch.where(known, prediction[prop] - label, 0.0)
    quantity = QUANTITIES[prop]
    if quantity.per_atom:
        atoms = atoms_per_graph(batch).reshape(-1, *(1 for _ in quantity.shape))
        difference, label = difference / atoms, label / atoms
    return Residual(difference, known, label)


def atoms_per_graph(batch: Batch) -> Tensor:
    """Number of atoms of every structure, [G] float64."""
    return (batch.ptr[1:] - batch.ptr[:-1]).to(torch.float64)


def by_structure(values: Tensor, quantity: Quantity, batch: Batch) -> Tensor:
    """Sums over all components (and atoms) of every structure, [G] in float64."""
    sums = values.double().reshape(len(values), -1).sum(1)
    if not quantity.of_atoms:
        return sums
    return sums.new_zeros(batch.num_graphs).index_add(0, batch.batch, sums)
