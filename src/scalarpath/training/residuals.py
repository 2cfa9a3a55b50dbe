"""Differences between prediction and label, the one definition that losses and metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch


class Residual(NamedTuple):
    """``difference`` prediction minus label, zero where there is no label; ``known`` says where there is one."""

    difference: Tensor
    known: Tensor


def residual(prop: str, prediction: Mapping[str, Tensor], batch: Batch) -> Residual:
    """Residual of energy, forces or stress on a batch of G structures and N atoms.

    energy: [G] in eV per atom; forces: [N, 3] in eV/Å; stress: [G, 3, 3] in eV/Å^3. A label that is NaN is missing. A
    prediction that is not finite where there is a label stays visible.

    The stress counts all nine components, as the error tables of MACE and NequIP do: the RMSE is then the Frobenius
    norm of the error tensor / 3 and does not depend on how the axes lie.
    """
    label = batch[prop]
    known = torch.isfinite(label)
    # the inner torch.where keeps NaN labels out of the graph: NaN times a zero gradient is NaN
    difference = torch.where(known, prediction[prop] - torch.where(known, label, 0.0), 0.0)
    if prop == "energy":
        difference = difference / atoms_per_graph(batch)
    return Residual(difference, known)


def atoms_per_graph(batch: Batch) -> Tensor:
    """Number of atoms of every structure, [G] float64."""
    return (batch.ptr[1:] - batch.ptr[:-1]).to(torch.float64)
