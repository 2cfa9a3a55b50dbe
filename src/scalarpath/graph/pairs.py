"""Pairs of directed edges: i -> j and j -> i have one length, and what depends on it alone is computed once."""

from __future__ import annotations

import torch
from torch import Tensor


def undirected_pairs(edge_reverse: Tensor) -> tuple[Tensor, Tensor]:
    """Pair of every edge [E] and the first edge of every pair [P], from the reverse of every edge [E]."""
    every = torch.arange(edge_reverse.shape[0], device=edge_reverse.device)
    first = torch.nonzero(every < edge_reverse).squeeze(1)
    pair = torch.empty_like(every)
    pair[first] = pair[edge_reverse[first]] = every[: first.shape[0]]
    return pair, first
