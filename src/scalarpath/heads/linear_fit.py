"""Least squares for a linear potential; cross-validation on the train frames chooses ridge and highest sine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from scalarpath.core.errors import DataError
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.coulomb import CoulombField
from scalarpath.heads.linear import LinearPotential

# A frame's error of 1 meV per atom counts as one of 10 meV/Å in all its forces, or of 1 meV/Å^3 in all its stress.
WEIGHTS = {"energy": 10.0, "forces": 1.0, "stress": 10.0}
FOLDS = 5
RIDGES = [10.0**power for power in range(-13, -2, 2)]  # relative to the mean square of a term
MOST_FRAMES = 500  # to be passed: a few hundred coefficients gain nothing from more
MOST_ATOMS = 20  # of a frame, evenly chosen, whose forces are fitted: every component costs a pass


Frame = tuple[Data, EdgeGeometry, CoulombField | None]


@dataclass(frozen=True)
class LinearFit:
    """What the fit leaves over, as root mean squares by kind of label, in eV per atom, eV/Å and eV/Å^3.

    terms: how many have a coefficient; sines: of their products; left: on the frames that were fitted; cross_validated:
    on those left out in turn.
    """

    terms: int
    sines: int
    ridge: float
    frames: int
    left: dict[str, float]
    cross_validated: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def render(self) -> str:
        """One line for the screen."""
        units = {"energy": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³"}
        errors = ", ".join(f"{kind} {1e3 * value:.3g} {units[kind]}" for kind, value in self.cross_validated.items())
        return f"linear potential, {self.terms} terms: cross-validated error (RMS) {errors}"


def fit_linear(linear: LinearPotential, frames: Iterable[Frame], reference: Tensor) -> LinearFit:
    """Set ``linear.coefficients`` by the labels of ``frames``: batches of one structure each, their geometries, and the
    fields of their charges.

    The vectors of a geometry are leaves that require a gradient; ``reference`` holds the energy of an isolated atom of
    every element [S], eV. Missing (NaN) labels are left out. Raises DataError where no frame has any label.
    """
    columns: dict[str, list[Tensor]] = {"terms": [], "label": [], "weight": [], "kind": [], "fold": []}
    count = 0
    for frame in frames:
        for kind, name in enumerate(WEIGHTS):
            rows, labels = _equations(name, linear, frame, reference)
            if len(labels):
                columns["terms"].append(rows)
                columns["label"].append(labels)
                # so that a frame weighs the same however many components are fitted
                columns["weight"].append(torch.full_like(labels, WEIGHTS[name] / len(labels) ** 0.5))
                columns["kind"].append(torch.full_like(labels, kind))
                columns["fold"].append(torch.full_like(labels, count % FOLDS))
        count += 1
    if not columns["terms"]:
        raise DataError("head.linear is fitted to labels before training, and no train frame has one.")
    terms, label, weight, kind, fold = (torch.cat(column) for column in columns.values())

    weighted, target = terms * weight[:, None], label * weight
    # the penalty on a term grows with its roughness, at equal size of what it contributes
    size = weighted.square().mean(0).sqrt().clamp_min(1e-12) * linear.roughness.to(label.device)
    parts = [(weighted[fold == f] / size, target[fold == f]) for f in range(FOLDS)]
    normal = [(part.T @ part, part.T @ labels) for part, labels in parts]
    matrix, right = sum(m for m, _ in normal), sum(r for _, r in normal)
    penalty = len(label) * torch.eye(len(size), dtype=size.dtype, device=size.device)

    def solved(chosen: Tensor, ridge: float, fold: int | None = None) -> Tensor:
        """Coefficients of the chosen terms, from all folds or all but one."""
        own, own_right = normal[fold] if fold is not None else (0.0 * matrix, 0.0 * right)
        left = (matrix - own + ridge * penalty)[chosen][:, chosen]
        solution = torch.zeros_like(right)
        solution[chosen] = torch.linalg.solve(left, (right - own_right)[chosen])
        return solution / size

    def left_out(chosen: Tensor, ridge: float) -> Tensor:
        """What coefficients from the other folds leave over."""
        residual = label.clone()
        for f in range(FOLDS):
            residual[fold == f] -= terms[fold == f] @ solved(chosen, ridge, f)
        return residual

    def by_kind(residual: Tensor) -> dict[str, float]:
        present = {name: residual[kind == k] for k, name in enumerate(WEIGHTS)}
        return {name: float(part.square().mean().sqrt()) for name, part in present.items() if len(part)}

    tried = []
    for sines in range(linear.radial + 1):
        chosen = (linear.highest_sine <= sines).nonzero().flatten().to(label.device)
        for ridge in RIDGES:
            residual = left_out(chosen, ridge)
            tried.append((float((residual * weight).square().sum()), sines, ridge, chosen, residual))
    _, sines, ridge, chosen, residual = min(tried, key=lambda one: one[0])
    linear.coefficients.copy_(solved(chosen, ridge))
    left = by_kind(label - terms @ linear.coefficients)
    return LinearFit(len(chosen), sines, ridge, count, left, by_kind(residual))


def _equations(kind: str, linear: LinearPotential, frame: Frame, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Terms [R, T] and labels [R] of one kind of one structure; none where the label is missing."""
    graph, geometry, field = frame
    atoms = geometry.n_atoms
    coefficients = torch.zeros_like(linear.coefficients).requires_grad_(True)
    with torch.enable_grad():
        energy = linear(geometry, coefficients).sum()
        charged = None
        if kind == "energy":
            values = energy[None] / atoms
            labels = (graph.energy.double() - reference.index_select(0, geometry.species).sum()) / atoms
            if field is not None:
                charged = field.node_energy.mean()[None]
        else:
            (pull,) = torch.autograd.grad(energy, geometry.vectors, create_graph=True)
            pull = pull.double()
            if kind == "forces":
                total = pull.new_zeros(atoms, 3).index_add(0, geometry.centre, pull)
                some = slice(None, None, -(-atoms // MOST_ATOMS))
                values = total.index_add(0, geometry.neighbour, -pull)[some].flatten()
                labels = graph.forces.double()[some].flatten()
                charged = None if field is None else field.forces[some].flatten()
            else:
                volume = torch.linalg.det(graph.cell[0].double()).abs()
                virial = geometry.vectors.detach().double().T @ pull
                values, labels = (virial / volume).flatten(), graph.stress.double().flatten()
                charged = None if field is None else field.stress.flatten()
        if charged is not None:
            values = values + coefficients[-1] * charged
        known = torch.isfinite(labels).nonzero().flatten().tolist()
        rows = [torch.autograd.grad(values[k], coefficients, retain_graph=True)[0] for k in known]
    return (torch.stack(rows) if rows else coefficients.detach()[None, :][:0]), labels[known]
