"""Pairs of directed edges: i -> j and j -> i have one length, and what depends on it alone is computed once."""

from __future__ import annotations

import torch
from torch import Tensor


def undirected_pairs(edge_index: Tensor, edge_shift: Tensor) -> tuple[Tensor, Tensor]:
    """Pair of every edge [E] and one edge of every pair [P]; edges sorted by centre, neighbour and cell shift.

    edge_index [2, E] and edge_shift [E, 3] as in AtomicGraph. Where an edge lacks its reverse (a list with a cutoff of
    its own for every direction), each edge is a pair by itself.
    """
    n_edges = edge_index.shape[1]
    every = torch.arange(n_edges, device=edge_index.device)
    if n_edges == 0:
        return every, every
    # one number per edge, in the order of the edges; the shift of the reverse has the digits of the opposite one
    shift = edge_shift.long()
    largest = int(shift.abs().max())
    base, n_atoms = 2 * largest + 1, int(edge_index.max()) + 1
    digits = (shift + largest) @ shift.new_tensor([base * base, base, 1])
    centre, neighbour = edge_index
    forward = (centre * n_atoms + neighbour) * base**3 + digits
    backward = (neighbour * n_atoms + centre) * base**3 + (base**3 - 1 - digits)
    reverse = torch.argsort(backward)
    if not torch.equal(backward[reverse], forward):
        return every, every
    first = torch.nonzero(every < reverse).squeeze(1)
    pair = torch.empty_like(every)
    pair[first] = pair[reverse[first]] = every[: first.shape[0]]
    return pair, first
