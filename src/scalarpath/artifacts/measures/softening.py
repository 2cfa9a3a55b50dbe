"""Softening slope: by what factor forces are too small, on a wall or on the largest forces of labelled frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from scalarpath.core.errors import ArtifactError


@dataclass(frozen=True)
class TopForceResult:
    """Softening on labelled frames.

    softening_slope: sum F_ref . F / sum F_ref^2 over the atoms with the largest labelled forces F_ref;
    softening_slope_all: the same over all atoms; atoms: how many are in the top share; smallest_top_force_eV_A: the
    smallest labelled force among them.
    """

    softening_slope: float
    softening_slope_all: float
    atoms: int
    smallest_top_force_eV_A: float


def softening_slope(reference_force: np.ndarray, force: np.ndarray) -> float:
    """Least-squares slope through the origin of forces against reference forces, of any equal shape; NaN if empty."""
    known = np.isfinite(reference_force) & np.isfinite(force)
    norm = float((reference_force[known] ** 2).sum())
    return float((reference_force[known] * force[known]).sum()) / norm if norm > 0 else float("nan")


def softening_of_top_forces(
    calculator: Calculator, frames: Sequence[Atoms], top_fraction: float = 0.1
) -> TopForceResult:
    """Softening slope on labelled frames, over the share of their atoms with the largest labelled forces.

    Atoms whose label is NaN are left out. Raises ArtifactError where there is no frame, a frame has no forces, or the
    share is not in (0, 1].
    """
    if not frames or not 0 < top_fraction <= 1:
        raise ArtifactError(
            f"the top force share needs frames and a fraction in (0, 1], not {len(frames)} frames and {top_fraction}."
        )
    labels = []
    for index, atoms in enumerate(frames):
        if atoms.calc is None or atoms.calc.results.get("forces") is None:
            raise ArtifactError(f"frame {index} of {len(frames)} has no labelled forces; give labelled frames.")
        labels.append(atoms.calc.results["forces"])
    expected = np.concatenate(labels)
    found = np.concatenate([calculator.get_forces(atoms.copy()) for atoms in frames])
    known = np.isfinite(expected).all(axis=1)  # others have no label
    expected, found = expected[known], found[known]
    size = np.linalg.norm(expected, axis=1)
    top = np.argsort(-size)[: max(1, round(top_fraction * len(size)))]
    return TopForceResult(
        softening_slope=softening_slope(expected[top], found[top]),
        softening_slope_all=softening_slope(expected, found),
        atoms=len(top),
        smallest_top_force_eV_A=float(size[top].min()),
    )
