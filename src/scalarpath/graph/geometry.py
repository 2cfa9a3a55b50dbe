"""Edge vectors and distances of a batch: all that backbones and heads see of a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor


@dataclass(kw_only=True)
class EdgeDistances:
    """How long the edges of a batch are (E edges, N atoms, S species), and between which elements.

    centre, neighbour: [E] atom indices; distances: [E, 1], Å; species: [N] index of each atom's element in the model's
    list; cutoff in Å, the longest one where edge_cutoff [E, 1] gives every edge its own.
    """

    centre: Tensor
    neighbour: Tensor
    distances: Tensor
    species: Tensor
    cutoff: float
    edge_cutoff: Tensor | None = None

    @cached_property
    def scaled_distances(self) -> Tensor:
        """Distance / cutoff of the edge [E, 1]: 1 is where every function on the energy path vanishes."""
        return self.distances / (self.cutoff if self.edge_cutoff is None else self.edge_cutoff)

    @cached_property
    def stretched_distances(self) -> Tensor:
        """Distances such that every edge's cutoff lies at the longest one [E, 1], Å: what radial bases read."""
        return self.distances if self.edge_cutoff is None else self.scaled_distances * self.cutoff

    @cached_property
    def centre_species(self) -> Tensor:
        """Species index of the centre of every edge [E]."""
        return self.species.index_select(0, self.centre)

    @cached_property
    def neighbour_species(self) -> Tensor:
        """Species index of the neighbour of every edge [E]."""
        return self.species.index_select(0, self.neighbour)

    def species_pairs(self, n_species: int) -> Tensor:
        """Index of the ordered pair (centre, neighbour) of species of every edge [E], below n_species^2."""
        return self.centre_species * n_species + self.neighbour_species


@dataclass(kw_only=True)
class EdgeGeometry(EdgeDistances):
    """Differentiable geometry of the directed edges of a batch, sorted by centre.

    slot: [E] which of the N K slots of the padded layout the edge has; vectors: [E, 3] from centre to neighbour, Å;
    units: [E, 3] vectors / distances; edge_pair: [E] the pair to which an edge and its reverse belong, pair_edge: [P]
    the first edge of every pair, edge_reverse: [E], or None where every edge is a pair by itself; atom_counts: atoms
    per species, or None where nobody has counted them.
    """

    slot: Tensor
    vectors: Tensor
    units: Tensor
    edge_pair: Tensor
    pair_edge: Tensor
    edge_reverse: Tensor | None
    n_atoms: int
    max_degree: int
    atom_counts: Sequence[int] | None = None

    @classmethod
    def from_vectors(
        cls,
        vectors: Tensor,
        graph: Any,
        species: Tensor,
        cutoff: float,
        pair_cutoffs: Tensor | None = None,
        atom_counts: Sequence[int] | None = None,
    ) -> EdgeGeometry:
        """Geometry from edge vectors [E, 3], the batch whose edges they are, and the species indices of its atoms.

        pair_cutoffs [S, S]: cutoff of every ordered pair (centre, neighbour) of species, where they differ. The two
        directions of a pair may then differ, so every edge is a pair by itself.
        """
        centre, neighbour = graph.edge_index
        if pair_cutoffs is None:
            edge_cutoff, edge_reverse = None, graph.edge_reverse
            edge_pair, pair_edge = graph.edge_pair, graph.pair_edge
        else:
            edge_cutoff, edge_reverse = pair_cutoffs[species[centre], species[neighbour], None], None
            edge_pair = pair_edge = torch.arange(centre.shape[0], device=centre.device)
        distances, units = _Polar.apply(vectors)
        return cls(
            centre=centre,
            neighbour=neighbour,
            slot=centre * graph.max_degree + graph.edge_slot,
            vectors=vectors,
            distances=distances,
            units=units,
            edge_pair=edge_pair,
            pair_edge=pair_edge,
            edge_reverse=edge_reverse,
            species=species,
            n_atoms=species.shape[0],
            max_degree=graph.max_degree,
            cutoff=cutoff,
            edge_cutoff=edge_cutoff,
            atom_counts=atom_counts,
        )

    def directed(self) -> EdgeGeometry:
        """The same with every edge a pair by itself, for what differs between the two directions."""
        edges = torch.arange(self.centre.shape[0], device=self.centre.device)
        return replace(self, edge_pair=edges, pair_edge=edges, edge_reverse=None)

    @property
    def dense(self) -> bool:
        """Whether every atom has max_degree neighbours, so that the padded layout is that of the edges.

        Never for a tracer, whose program is for batches of all sizes.
        """
        slots = self.n_atoms * self.max_degree
        return not isinstance(slots, torch.SymInt) and self.centre.shape[0] == slots

    @cached_property
    def first_edge(self) -> Tensor:
        """Number of the first edge of every atom, and, last, of all edges [N + 1]."""
        return torch.searchsorted(self.centre, torch.arange(self.n_atoms + 1, device=self.centre.device))

    @cached_property
    def padded_neighbour(self) -> Tensor:
        """Neighbour of every slot of the padded layout [N K]; atom 0 in empty slots."""
        if self.dense:
            return self.neighbour
        padded = self.neighbour.new_zeros(self.n_atoms * self.max_degree)
        return padded.index_copy(0, self.slot, self.neighbour)

    @cached_property
    def padded_neighbour_species(self) -> Tensor:
        """Species index of the neighbour of every slot of the padded layout [N K]; any species in empty slots."""
        return self.species.index_select(0, self.padded_neighbour)

    def neighbour_indicator(self, n_species: int) -> Tensor:
        """1 where the neighbour is of a species, else 0: [S, N K] on the padded layout; anything in empty slots."""
        species = self.padded_neighbour_species
        return (species == torch.arange(n_species, device=species.device)[:, None]).to(self.distances.dtype)

    @cached_property
    def padded_pair(self) -> Tensor:
        """Row of the pair layout that every slot of the padded layout reads [N K]; the zero row P in empty slots."""
        if self.dense:
            return self.edge_pair
        padded = self.edge_pair.new_full((self.n_atoms * self.max_degree,), self.pair_edge.shape[0])
        return padded.index_copy(0, self.slot, self.edge_pair)

    @cached_property
    def slots_of_pairs(self) -> tuple[Tensor, Tensor] | None:
        """Both slots of every pair [P] each, or None where every edge is a pair by itself.

        None for a compiler as well, since what is written with them, part by part into one array, torch 2.13 compiles
        into something else (gradients of the radial network of MACE's first layer lost).
        """
        if self.edge_reverse is None or isinstance(self.slot.shape[0], torch.SymInt):
            return None
        other = self.edge_reverse.index_select(0, self.pair_edge)
        return self.slot.index_select(0, self.pair_edge), self.slot.index_select(0, other)

    @cached_property
    def one_way(self) -> EdgeDistances:
        """One edge of every pair [P]: what functions of the distance are evaluated on."""
        names = ("centre", "neighbour", "distances", "edge_cutoff")
        values = {name: getattr(self, name) for name in names}
        chosen = {name: x.index_select(0, self.pair_edge) for name, x in values.items() if x is not None}
        return EdgeDistances(**chosen, species=self.species, cutoff=self.cutoff)


class _Polar(torch.autograd.Function):
    """Lengths r [E, 1] and directions u [E, 3] of vectors, with their derivatives u and (1 - u u^T) / r."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        units = vectors / lengths
        ctx.save_for_backward(lengths, units)
        return lengths, units

    @staticmethod
    def backward(ctx: Any, by_length: Tensor, by_unit: Tensor) -> Tensor:
        lengths, units = ctx.saved_tensors
        along = by_length * lengths - (units * by_unit).sum(1, keepdim=True)
        return torch.addcmul(by_unit, units, along) / lengths
