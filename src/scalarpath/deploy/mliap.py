"""LAMMPS: a potential behind ``pair_style mliap unified``, on any number of processes.

LAMMPS gives every process its own atoms, images of others around them, and the vectors from its own atoms to all atoms
within a distance that the model names. Here that is what an atomic energy reaches: with messages that go several times
from neighbour to neighbour, as many cutoffs. Then the neighbours of every image that matters are known too, as
differences of two vectors from one atom, and messages are computed on images as on atoms: nothing needs to be sent.
Forces are the gradient with respect to the vectors, from which LAMMPS makes forces on atoms and the virial.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch_geometric.data import Data

from scalarpath.core.errors import ConfigError
from scalarpath.potential import Potential, load_potential

MOST_CANDIDATES = 1_000_000  # looked at together for neighbours of images


class UnifiedPotential:
    """What LAMMPS calls, see ``lammps.mliap.mliap_unified_abc``; LAMMPS itself is not imported.

    content: of a file that ``write_model`` has written; trust: see ``load_potential``. Pickled as a call with these
    two. Raises CheckpointError for an unusable content, ConfigError for a potential that cannot be divided into the
    energies of neighbourhoods.
    """

    ndescriptors = nparams = 1  # LAMMPS wants some

    def __init__(self, content: bytes, trust: Collection[str] = ()):
        self._arguments = (content, tuple(trust))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.sp"
            file.write_bytes(content)
            self.potential = load_potential(file, trust=trust).requires_grad_(False)
        self._reach = reach_of(self.potential)
        self.element_types = [chemical_symbols[z] for z in self.potential.species]
        self.rcutfac = self._reach * self.potential.cutoff / 2  # LAMMPS doubles it
        self._interface: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    @property
    def interface(self) -> Any:
        """The side of LAMMPS, which sets it."""
        return self._interface

    @interface.setter
    def interface(self, interface: Any) -> None:
        if "Kokkos" in type(interface).__name__:
            raise ConfigError("LAMMPS runs pair_style mliap with its package KOKKOS; leave '-k on -sf kk' out.")
        self._interface = interface

    def compute_gradients(self, data: Any) -> None:
        """Nothing: ``compute_forces`` does it all."""

    def compute_descriptors(self, data: Any) -> None:
        """Nothing: ``compute_forces`` does it all."""

    def compute_forces(self, data: Any) -> None:
        """Fill ``data`` with the energies of the atoms of this process, forces and virial.

        Raises ConfigError where LAMMPS gives pairs of images too.
        """
        if data.natomneigh > data.nlistatoms:
            raise ConfigError("end the line 'pair_style mliap unified FILE 0' with 0, not with 1.")
        if data.nlistatoms == 0:
            data.energy = 0.0
            return
        own = np.array(data.iatoms[: data.nlistatoms])
        pairs = _Pairs.of(data)
        vectors = torch.from_numpy(pairs.vectors).requires_grad_(True)
        edges = _edges(pairs, own, self.potential.cutoff, self._reach)
        with torch.enable_grad():
            energies = self._energies(edges, vectors, own, np.array(data.elems))
            (gradient,) = torch.autograd.grad(energies.sum(), vectors, allow_unused=True, materialize_grads=True)
        data.eatoms = energies.detach().numpy()
        data.energy = float(energies.detach().sum())
        if len(gradient):
            data.update_pair_forces(gradient.contiguous().numpy())

    def _energies(self, edges: _Edges, vectors: Tensor, own: np.ndarray, elements: np.ndarray) -> Tensor:
        """Atomic energies of the atoms ``own`` [n], eV; vectors [P, 3] as LAMMPS has them."""
        others = np.setdiff1d(np.concatenate([edges.centre, edges.neighbour]), own)
        atoms = np.concatenate([own, others])
        number = np.empty(len(elements), dtype=np.int64)
        number[atoms] = np.arange(len(atoms))
        edges = edges._replace(centre=number[edges.centre], neighbour=number[edges.neighbour])
        graph = _graph(edges.both_ways(), len(atoms), vectors)
        species = torch.from_numpy(elements[atoms].astype(np.int64))
        out = self.potential.predict(cast(Data, graph), species, forces=False, stress=False)
        return out["node_energy"][: len(own)]


class _Pairs(NamedTuple):
    """The pairs of LAMMPS: atoms i [P] of this process, in order, and j [P] of any, vectors from i to j [P, 3], Å."""

    i: np.ndarray
    j: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, data: Any) -> _Pairs:
        """Copies of what LAMMPS may move; without a pair LAMMPS has no arrays."""
        if data.npairs == 0:
            return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty((0, 3)))
        return cls(np.array(data.pair_i), np.array(data.jatoms), np.array(data.rij))


class _Edges(NamedTuple):
    """Edges within the cutoff: centre and neighbour [E]; the vector is that of pair ``to`` less that of ``origin``.

    Pair number P is that of an atom with itself.
    """

    centre: np.ndarray
    neighbour: np.ndarray
    to: np.ndarray
    origin: np.ndarray

    def both_ways(self) -> _Edges:
        """P edges, and after them their P reverses, also of edges to the outermost images, which are no centres here.

        Nothing is read of the energies of these, which lack neighbours.
        """
        once = (self.centre < self.neighbour) | ~np.isin(self.neighbour, self.centre)
        centre, neighbour, to, origin = (values[once] for values in self)
        parts = ((centre, neighbour), (neighbour, centre), (to, origin), (origin, to))
        return _Edges(*(np.concatenate(part) for part in parts))


def _edges(pairs: _Pairs, own: np.ndarray, cutoff: float, reach: int) -> _Edges:
    """All edges of the atoms ``own``, and those of the images on which their energies depend to other images."""
    itself = len(pairs.i)
    distance = np.linalg.norm(pairs.vectors, axis=1)
    (near,) = np.nonzero(distance < cutoff)
    of_own = _Edges(pairs.i[near], pairs.j[near], near, np.full_like(near, itself))
    # every image that is a centre, as one atom sees it; its neighbours are among what that atom sees, and so is it
    # itself, which ``both_ways`` leaves out
    (within,) = np.nonzero((distance < (reach - 1) * cutoff) & ~np.isin(pairs.j, own))
    seen = within[np.unique(pairs.j[within], return_index=True)[1]]
    to, origin = _pairs_within(pairs, seen, cutoff)
    of_images = _Edges(pairs.j[origin], pairs.j[to], to, origin)
    return _Edges(*(np.concatenate(parts) for parts in zip(of_own, of_images, strict=True)))


def _pairs_within(pairs: _Pairs, origins: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (to, origin) of pairs of one atom i whose vectors differ by less than the cutoff; ``origins`` [C]."""
    order = np.argsort(pairs.i, kind="stable")
    first, last = (np.searchsorted(pairs.i, pairs.i[origins], side, sorter=order) for side in ("left", "right"))
    counts = last - first
    found = []
    for part in np.array_split(np.arange(len(origins)), counts.sum() // MOST_CANDIDATES + 1):
        n = counts[part]
        origin = np.repeat(origins[part], n)
        to = order[np.arange(n.sum()) + np.repeat(first[part] - (n.cumsum() - n), n)]
        gap = pairs.vectors[to] - pairs.vectors[origin]
        kept = np.einsum("ep,ep->e", gap, gap) < cutoff**2
        found.append(np.stack([to[kept], origin[kept]]))
    to, origin = np.concatenate(found, axis=1)
    return to, origin


def _graph(edges: _Edges, n_atoms: int, vectors: Tensor) -> SimpleNamespace:
    """The fields that ``Potential.predict`` reads of a batch of one structure, from edges both ways."""
    order, pairs = np.argsort(edges.centre, kind="stable"), len(edges.centre) // 2
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    centre, neighbour = edges.centre[order], edges.neighbour[order]
    slot = np.arange(len(centre)) - np.searchsorted(centre, centre)
    known = torch.cat([vectors, vectors.new_zeros(1, 3)])  # the last one is that of an atom to itself
    to, origin = (known.index_select(0, torch.from_numpy(values[order])) for values in (edges.to, edges.origin))
    return SimpleNamespace(
        # where the atoms are nobody knows: an edge is its shift, in a cell of unit vectors
        pos=torch.zeros(n_atoms, 3, dtype=torch.float64),
        cell=torch.eye(3, dtype=torch.float64)[None],
        edge_shift=to - origin,
        batch=torch.zeros(n_atoms, dtype=torch.int64),
        edge_index=torch.from_numpy(np.stack([centre, neighbour])),
        edge_slot=torch.from_numpy(slot),
        edge_reverse=torch.from_numpy(place[(order + pairs) % (2 * pairs)]),
        edge_pair=torch.from_numpy(order % pairs),
        pair_edge=torch.from_numpy(place[:pairs]),
        max_degree=int(slot.max(initial=-1)) + 1,
    )


def reach_of(potential: Potential) -> int:
    """How many cutoffs an atomic energy reaches; raises ConfigError where that is not known, or has no limit."""
    if potential.charged:
        raise ConfigError(
            "LAMMPS's ML-IAP cannot hold the Coulomb energy of head.linear.charges, which has no cutoff; use "
            "LammpsDriver instead (docs/simulations.md)."
        )
    reach = potential.backbone.reach
    if reach is None:
        raise ConfigError(
            f"backbone {potential.config['backbone']['kind']} does not say how many cutoffs its energies reach, which "
            "LAMMPS's ML-IAP has to know; set its attribute reach (docs/backbones.md)."
        )
    return reach
