"""Least squares for a linear potential; cross-validation on the train frames chooses ridge and highest sine.

The most accurate linear potential is not the best one under a network. Where it takes large terms that cancel, what it
leaves varies so fast that a network does not learn it from so few frames. So the largest ridge is taken whose error is
hardly larger than the smallest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scalarpath.core.errors import DataError
from scalarpath.core.quantities import QUANTITIES
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.coulomb import CoulombField
from scalarpath.heads.linear import LinearPotential

if TYPE_CHECKING:
    from torch_geometric.data import Data

# A frame's error of 1 meV per atom counts as one of 10 meV/Å in all its forces, or of 1 meV/Å^3 in all its stress.
WEIGHTS = {"energy": 10.0, "forces": 1.0, "stress": 10.0}
FOLDS = 5
RIDGES = [10.0**power for power in range(-12, -2)]  # relative to the mean square of a term; smaller: below rounding
HARDLY_LARGER = 1.03  # that cross-validated error over the smallest one
MOST_FRAMES = 500  # to be passed: a few hundred coefficients gain nothing from more
MOST_ATOMS = 20  # of a frame, evenly chosen, whose forces are fitted: every component costs a pass


Frame = tuple["Data", EdgeGeometry, CoulombField | None]


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
        of = [(QUANTITIES[name], error) for name, error in self.cross_validated.items()]
        errors = ", ".join(f"{quantity.name} {quantity.shown(quantity.factor * error)}" for quantity, error in of)
        return f"linear potential, {self.terms} terms: cross-validated error (RMS) {errors}"


def fit_linear(
    linear: LinearPotential,
    frames: Iterable[Frame],
    reference: Tensor,
    *,
    kinds: Collection[str] = tuple(WEIGHTS),
    repulsion: nn.Module | None = None,
) -> LinearFit | None:
    """Set ``linear.coefficients`` by the labels of ``frames``: batches of one structure each, their geometries, and the
    fields of their charges.

    The vectors of a geometry are leaves that require a gradient; ``reference`` holds the energy of an isolated atom of
    every element [S], eV. Missing (NaN) labels are left out, and so are those of other ``kinds`` (energy, forces,
    stress). ``repulsion`` gives atomic energies [N] that stand beside the linear potential, so that labels are fitted
    without them. Returns None where coefficients are trained, not fitted. Raises DataError where no frame has a label.
    """
    squares = _LeastSquares(linear, frames, reference, kinds, repulsion)
    if linear.weights is not None:
        linear.coefficients.copy_(squares.units())
        return None
    tried = []
    for sines in range(linear.radial + 1):
        chosen = (linear.highest_sine <= sines).nonzero().flatten().to(squares.labels.device)
        for ridge, residual in zip(RIDGES, squares.left_out(chosen), strict=True):
            tried.append((squares.error(residual), sines, ridge, chosen, residual))
    enough = HARDLY_LARGER * min(error for error, *_ in tried)
    good = [one for one in tried if one[0] <= enough]
    _, sines, ridge, chosen, residual = max(good, key=lambda one: (one[2], -one[0]))
    linear.coefficients.copy_(next(squares.solutions(chosen, [ridge])))
    left = squares.by_kind(squares.labels - squares.terms @ linear.coefficients)
    return LinearFit(len(chosen), sines, ridge, squares.frames, left, squares.by_kind(residual))


class _LeastSquares:
    """The weighted equations terms [R, T] w = labels [R] of all frames, in folds of whole frames."""

    def __init__(
        self,
        linear: LinearPotential,
        frames: Iterable[Frame],
        reference: Tensor,
        kinds: Collection[str],
        repulsion: nn.Module | None,
    ):
        parts: list[tuple[Tensor, Tensor, float, int, int]] = []
        self.frames = 0
        for frame in frames:
            equations = _equations(linear, frame, reference, repulsion)
            for kind, name in enumerate(WEIGHTS):
                terms, values = equations[name]
                if name in kinds and len(values):  # a frame weighs the same however many components are fitted
                    parts.append((terms, values, WEIGHTS[name] / len(values) ** 0.5, kind, self.frames))
            self.frames += 1
        if not parts:
            raise DataError(
                "head.linear is fitted to labels before training, and no train frame has one that the loss weighs."
            )
        rows, labels, weights, kinds, owners = zip(*parts, strict=True)
        self.terms, self.labels = torch.cat(rows), torch.cat(labels)
        self.weights, self.kinds, self.owners = (
            torch.cat([torch.full_like(part, value) for part, value in zip(labels, values, strict=True)])
            for values in (weights, kinds, owners)
        )
        self.folds = self.owners % FOLDS
        weighted = self.terms * self.weights[:, None]
        # the penalty on a term grows with its roughness, at equal size of what it contributes
        self.size = weighted.square().mean(0).sqrt().clamp_min(1e-12) * linear.roughness.to(weighted.device)
        weighted, target = weighted / self.size, self.labels * self.weights
        self.normal = [
            (weighted[own].T @ weighted[own], weighted[own].T @ target[own])
            for own in (self.folds == fold for fold in range(FOLDS))
        ]

    def solutions(self, chosen: Tensor, ridges: Sequence[float], without: int | None = None) -> Iterator[Tensor]:
        """Coefficients [T] for every ridge, zero but for the chosen terms, from all folds or all but one."""
        used = [part for fold, part in enumerate(self.normal) if fold != without]
        matrix = torch.stack([matrix.index_select(0, chosen).index_select(1, chosen) for matrix, _ in used]).sum(0)
        right = torch.stack([right.index_select(0, chosen) for _, right in used]).sum(0)[:, None]
        diagonal = matrix.diagonal().clone()
        for ridge in ridges:
            matrix.diagonal().copy_(diagonal + ridge * len(self.labels))
            solution = torch.cholesky_solve(right, torch.linalg.cholesky(matrix)).squeeze(1)
            yield torch.zeros_like(self.size).index_copy(0, chosen, solution) / self.size

    def units(self) -> Tensor:
        """Coefficients [T] with which a term alone is about as large as the labels, less so the rougher it is."""
        return (self.labels * self.weights).square().mean().sqrt() / self.size

    def left_out(self, chosen: Tensor) -> list[Tensor]:
        """What coefficients from the other folds leave over of every label [R], for every ridge."""
        residuals = [self.labels.clone() for _ in RIDGES]
        for fold in range(FOLDS):
            own = self.folds == fold
            terms = self.terms[own]
            for residual, solution in zip(residuals, self.solutions(chosen, RIDGES, fold), strict=True):
                residual[own] -= terms @ solution
        return residuals

    def error(self, residual: Tensor) -> float:
        """Of all frames: geometric mean of the mean of their errors, which odd frames hardly move, and the root mean
        square, which they decide."""
        squares = residual.new_zeros(self.frames).index_add(0, self.owners.long(), (residual * self.weights).square())
        return float((squares.sqrt().mean() * squares.mean().sqrt()).sqrt())

    def by_kind(self, residual: Tensor) -> dict[str, float]:
        """Root mean squares by kind of label."""
        parts = {name: residual[self.kinds == kind] for kind, name in enumerate(WEIGHTS)}
        return {name: float(part.square().mean().sqrt()) for name, part in parts.items() if len(part)}


def _equations(
    linear: LinearPotential, frame: Frame, reference: Tensor, repulsion: nn.Module | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """By kind, terms [R, T] and labels [R] of one structure; none where a label is missing."""
    graph, geometry, field = frame
    atoms = geometry.n_atoms
    some = slice(None, None, -(-atoms // MOST_ATOMS))
    coefficients = torch.zeros_like(linear.coefficients).requires_grad_(True)
    with torch.enable_grad():
        values = _contributions(linear(geometry, coefficients), graph, geometry, some)
        if field is not None:
            share = coefficients[-1]
            values["energy"] = values["energy"] + share * field.node_energy.mean()
            values["forces"] = values["forces"] + share * field.forces[some].flatten()
            values["stress"] = values["stress"] + share * field.stress.flatten()
        labels = {
            "energy": (graph.energy.double() - reference.index_select(0, geometry.species).sum()) / atoms,
            "forces": graph.forces.double()[some].flatten(),
            "stress": graph.stress.double().flatten(),
        }
        if repulsion is not None:
            beside = _contributions(repulsion(geometry).double(), graph, geometry, some)
            labels = {kind: label - beside[kind].detach() for kind, label in labels.items()}
        found = {}
        for kind, label in labels.items():
            known = torch.isfinite(label).nonzero().flatten().tolist()
            rows = [torch.autograd.grad(values[kind][k], coefficients, retain_graph=True)[0] for k in known]
            found[kind] = torch.stack(rows) if rows else coefficients.detach()[None, :][:0], label[known]
    return found


def _contributions(node_energy: Tensor, graph: Data, geometry: EdgeGeometry, some: slice) -> dict[str, Tensor]:
    """What atomic energies [N] are to the labels of one structure, by kind and flat; forces of ``some`` atoms."""
    energy = node_energy.sum()
    (pull,) = torch.autograd.grad(energy, geometry.vectors, create_graph=True)
    pull = pull.double()
    atoms = geometry.n_atoms
    forces = pull.new_zeros(atoms, 3).index_add(0, geometry.centre, pull).index_add(0, geometry.neighbour, -pull)
    virial = geometry.vectors.detach().double().T @ pull
    return {
        "energy": energy[None] / atoms,
        "forces": forces[some].flatten(),
        "stress": (virial / torch.linalg.det(graph.cell[0].double()).abs()).flatten(),
    }
