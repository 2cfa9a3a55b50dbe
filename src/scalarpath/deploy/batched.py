"""A potential that evaluates many structures at once: what drives molecular dynamics of several replicas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.errors import ConfigError
from scalarpath.deploy.calculator import copy_of
from scalarpath.graph import NeighbourList, neighbour_list
from scalarpath.graph.atomic_graph import graph_arrays, join
from scalarpath.graph.neighbours import MIN_DISTANCE
from scalarpath.potential import Potential

DEFAULT_SKIN_A = 1.0


class VerletList:
    """The neighbours of one structure, found anew only when an atom has moved by more than half of the skin.

    Of the stored pairs within cutoff + skin (Å) only those within the cutoff are given out, so that a model sees the
    edges, in the same order, that a new search would give.
    """

    def __init__(self, cutoff: float, skin: float):
        self.cutoff, self.skin = cutoff, skin
        self._atoms: Atoms | None = None  # as they were at the last search

    def neighbours(self, atoms: Atoms, where: str = "the structure") -> NeighbourList:
        """What ``neighbour_list(atoms, cutoff, where)`` gives, errors included."""
        squares = self._squared_distances(atoms) if self._covers(atoms) else np.zeros(1)
        if squares.min(initial=np.inf) < MIN_DISTANCE**2:  # atoms that have met are for the search to refuse
            self._search(atoms, where)
            squares = self._squared_distances(atoms)
        near = squares < self.cutoff**2
        number = np.cumsum(near) - 1  # of the edges that are left; an edge is as long as its reverse, to the last bit
        reverse = number[self._reverse[near]]
        return NeighbourList(self._index[:, near], self._shift[near], reverse, np.sqrt(squares[near]))

    def _covers(self, atoms: Atoms) -> bool:
        """Whether the stored pairs hold all neighbours of ``atoms``."""
        old = self._atoms
        if old is None or len(old) != len(atoms):
            return False
        if not (np.array_equal(old.pbc, atoms.pbc) and np.array_equal(old.cell.array, atoms.cell.array)):
            return False
        moved = ((atoms.positions - old.positions) ** 2).sum(axis=1).max()
        return bool(moved <= (self.skin / 2) ** 2)  # False for a position that is not a number

    def _search(self, atoms: Atoms, where: str) -> None:
        self._atoms = None
        found = neighbour_list(atoms, self.cutoff + self.skin, where)
        self._index, self._shift, self._reverse, _ = found
        self._translation = self._shift @ atoms.cell.array
        self._atoms = atoms.copy()

    def _squared_distances(self, atoms: Atoms) -> np.ndarray:
        centre, neighbour = self._index
        vectors = atoms.positions[neighbour] - atoms.positions[centre] + self._translation
        return np.einsum("ep,ep->e", vectors, vectors)


class BatchedPotential:
    """Energies and forces of several structures from one pass of a potential.

    source: a Potential, a checkpoint file or a run directory; dtype: "float32" or "float64" (None: as the potential);
    device: torch device; skin: of the neighbour lists, Å. Lists are kept by position in the batch: give the same
    structure the same position from step to step, and every thread a BatchedPotential of its own. Raises
    CheckpointError for an unusable source, ConfigError for an impossible dtype or skin.
    """

    def __init__(
        self,
        source: Potential | str | Path,
        dtype: str | None = None,
        device: str | torch.device = "cpu",
        skin: float = DEFAULT_SKIN_A,
    ):
        if not skin >= 0:
            raise ConfigError(f"skin = {skin} must be zero or positive (Å).")
        self.potential = copy_of(source, dtype, device).requires_grad_(False)
        self.skin = skin
        self._lists: list[VerletList] = []

    def evaluate(self, structures: Sequence[Atoms]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Energies [structures] in eV and forces [atoms, 3] in eV/Å of each structure.

        Raises GraphError for a structure without a graph (see ``neighbour_list``), DataError for an element that the
        potential does not know.
        """
        if not structures:
            return np.empty(0), []
        out = self.predict(structures, stress=False)
        energies, forces = (out[key].cpu().numpy() for key in ("energy", "forces"))
        return energies, np.split(forces, np.cumsum([len(atoms) for atoms in structures])[:-1])

    def predict(self, structures: Sequence[Atoms], *, stress: bool) -> dict[str, Tensor]:
        """What ``Potential.forward`` gives for all structures together, detached; errors as ``evaluate``."""
        graph = self._batch(structures).to(self.potential.device)
        with torch.enable_grad():
            out = self.potential(graph, forces=True, stress=stress)
        return {key: value.detach() for key, value in out.items()}

    def _batch(self, structures: Sequence[Atoms]) -> Batch:
        missing = len(structures) - len(self._lists)
        self._lists += [VerletList(self.potential.cutoff, self.skin) for _ in range(missing)]
        found = (self._lists[k].neighbours(atoms, f"structure {k}") for k, atoms in enumerate(structures))
        return join([graph_arrays(*each) for each in zip(structures, found, strict=True)])
