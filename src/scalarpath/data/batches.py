"""The order in which frames are met in training: a pure function of seed and epoch, shared out over processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from scalarpath.errors import ConfigError


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


def frames_per_process(batch_size: int, world_size: int) -> int:
    """Share of one batch that a process handles; raises ConfigError if ``batch_size`` does not divide evenly."""
    if batch_size % world_size:
        raise ConfigError(
            f"data.batch_size={batch_size} counts frames over all processes and must be a multiple of their number "
            f"({world_size}); change it."
        )
    return batch_size // world_size
