"""The order in which frames are met in training: a pure function of seed and epoch, shared out over processes."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import Sampler

from scalarpath.core.errors import ConfigError

T = TypeVar("T")

MIN_BUCKET_BATCHES = 8  # a bucket holds at least so many full batches, or few graphs would always meet each other
DEGREE_STEP = 1.25


class EpochSampler(Sampler[int]):
    """Indices of one process for one epoch, shuffled by a generator of its own.

    All processes draw the same permutation of ``n_frames`` and take every ``world_size``-th entry of it, so batch k of
    all of them together is batch k of a single process. A permutation that does not divide evenly is continued from its
    start, which gives every process the same number of batches. Lightning calls ``set_epoch``.
    """

    def __init__(self, n_frames: int, seed: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.n_frames, self.seed = n_frames, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.n_frames // self.world_size)

    def __iter__(self) -> Iterator[int]:
        digest = hashlib.sha256(f"data/{self.seed}/{self.epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        order = torch.randperm(self.n_frames, generator=generator)
        padded = order.repeat(-(-self.world_size // max(1, self.n_frames)) + 1)[: len(self) * self.world_size]
        return iter(padded[self.rank :: self.world_size].tolist())


class EdgeBatches(Sampler[list[int]]):
    """Batches of one process with at most ``max_edges`` edges and ``batch_size`` graphs over all processes.

    Graphs are sorted by their largest number of neighbours into buckets, because the padded layout
    [atoms, max_degree] of a batch costs what its best connected atom asks for. Within a bucket they are sorted by
    edges and dealt out like cards, in rounds of one graph per batch in random order, largest graphs first. Every batch
    then holds about the same number of edges, and how many batches there are does not depend on the epoch: it is the
    smallest number for which the largest graphs of all rounds fit into one batch.

    ``sampler`` is the order of all graphs in an epoch, from which all randomness comes; Lightning calls its
    ``set_epoch``. Processes take turns at the graphs of a batch, so their batches together are those of a single
    process, and no graph is met twice. Raises ConfigError if a batch would leave a process without a graph.
    """

    def __init__(
        self,
        edges: np.ndarray,
        degrees: np.ndarray,
        sampler: EpochSampler,
        *,
        max_edges: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sampler = sampler
        self.edges, self.rank, self.world_size = edges, rank, world_size
        self.buckets = [
            (members, _fewest_batches(edges[members], max_edges, batch_size))
            for members in _degree_buckets(edges, degrees, MIN_BUCKET_BATCHES * max_edges)
        ]
        if any(len(members) // n_batches < world_size for members, n_batches in self.buckets):
            raise ConfigError(
                f"data.max_edges={max_edges} and data.batch_size={batch_size} count over all processes and leave "
                f"batches with fewer frames than the {world_size} processes; raise them."
            )

    def __len__(self) -> int:
        return sum(n_batches for _, n_batches in self.buckets)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.array(list(self.sampler))
        turn = np.argsort(order)  # when a graph is met in that order
        batches: list[np.ndarray] = []
        for members, n_batches in self.buckets:
            # among equal numbers of edges chance decides; then within every round
            ordered = members[np.lexsort((turn[members], -self.edges[members]))]
            rounds = np.arange(len(ordered)) // n_batches
            dealt = ordered[np.lexsort((turn[ordered], rounds))]
            batches += [dealt[k::n_batches] for k in range(n_batches)]
        # not by turn, by which they were dealt: the batches that got one graph more would come first
        batches.sort(key=lambda batch: order[batch[0]])
        return (batch[self.rank :: self.world_size].tolist() for batch in batches)


def _degree_buckets(edges: np.ndarray, degrees: np.ndarray, min_edges: int) -> list[np.ndarray]:
    """Indices of graphs of similar degree, buckets of no less than ``min_edges`` edges, so that each is still shuffled.

    A new bucket starts where the degree is DEGREE_STEP times the smallest of the one before.
    """
    order = np.argsort(degrees, kind="stable")
    done = np.concatenate([[0], np.cumsum(edges[order])])
    starts = [0]
    for k in range(1, len(order)):
        enough = done[k] - done[starts[-1]] >= min_edges and done[-1] - done[k] >= min_edges
        if enough and degrees[order[k]] >= DEGREE_STEP * degrees[order[starts[-1]]]:
            starts.append(k)
    return np.split(order, starts[1:])


def _fewest_batches(edges: np.ndarray, max_edges: int, batch_size: int) -> int:
    """Smallest number of batches for which one graph of every round, even if it is the largest, fit into one batch."""
    falling = np.sort(edges)[::-1]
    fit = lambda n: falling[::n].sum() <= max_edges and -(-len(falling) // n) <= batch_size  # noqa: E731
    return 1 + bisect_left(range(1, len(falling)), True, key=fit)


def consecutive_batches(edges: np.ndarray, max_edges: int | None, batch_size: int) -> list[list[int]]:
    """Indices in their order, a new batch starting where ``max_edges`` or ``batch_size`` would be exceeded."""
    return list(filled(range(len(edges)), edges.tolist().__getitem__, max_edges, batch_size))


def filled(items: Iterable[T], edges: Callable[[T], int], max_edges: int | None, batch_size: int) -> Iterator[list[T]]:
    """Items in their order, a new batch starting where ``max_edges`` or ``batch_size`` would be exceeded."""
    batch: list[T] = []
    total = 0
    for item in items:
        count = edges(item)
        if batch and (len(batch) == batch_size or (max_edges is not None and total + count > max_edges)):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += count
    if batch:
        yield batch


def frames_per_process(batch_size: int, world_size: int) -> int:
    """Share of one batch that a process handles; raises ConfigError if ``batch_size`` does not divide evenly."""
    if batch_size % world_size:
        raise ConfigError(
            f"data.batch_size={batch_size} counts frames over all processes and must be a multiple of their number "
            f"({world_size}); change it."
        )
    return batch_size // world_size
