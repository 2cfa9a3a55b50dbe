"""The Lightning data module: files in, batches of graphs out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Sampler

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.core.memory import memory_of_machine
from scalarpath.core.periodicity import require_periodicity
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.settings import Cutoff, checked
from scalarpath.data.audit import LabelAudit, note_isolated_atoms, note_references
from scalarpath.data.batches import EdgeBatches, EpochSampler, consecutive_batches, frames_per_process
from scalarpath.data.cache import build_graphs, content_hash
from scalarpath.data.config import DataConfig
from scalarpath.data.e0s import isolated_atom_frames, reference_energies
from scalarpath.data.graph_file import GraphSet
from scalarpath.data.groups import frame_weights
from scalarpath.data.labelled import read_labelled, stop_if_suspicious
from scalarpath.data.labels import Labels
from scalarpath.data.reading import Frame
from scalarpath.data.splits import chosen, split_frames
from scalarpath.data.statistics import NO_NEIGHBOUR, Statistics, train_statistics
from scalarpath.data.timed_loader import TimedLoader
from scalarpath.graph.atomic_graph import AtomicGraph, join

BYTES_PER_EDGE = 250  # in a batch at least: vectors and harmonics in both precisions, and their gradients


class AtomicDataModule(pl.LightningDataModule):
    """Reads, audits, splits and batches a data set; what it offers is there after ``setup()``.

    ===============================================  ==================================================================
    audit                                            LabelAudit of all frames
    splits                                           frame indices of "train", "valid", "test"
    test_groups                                      group of every test frame: its group key, ``block k``, or its index
    frame_weights                                    weight of every frame in the loss [frames], or None: all the same
    kinds                                            config_type of every frame of the data set, or None
    species                                          atomic numbers of the train split, sorted
    statistics                                       Statistics of the train split
    data_hash                                        SHA-256 of all structures and labels
    train_graphs, valid_graphs, test_graphs          sequences of AtomicGraph, each read when it is asked for
    ===============================================  ==================================================================

    config: the section ``data``, or the part of it that differs from conf/data/extxyz.yaml; cutoff: Å; seed: of the
    order of train batches only; required: the labels that the loss weighs; own_e0s: the potential starts with its own
    E0s, so that compositions need not tell elements apart; charged: the head has charges, which no structure that is
    periodic in part can have. ``batch_size`` and ``max_edges`` count over all processes. Train batches are shared out
    by rank when ``torch.distributed`` is initialised; validation and test loaders give every process all frames. Use it
    with ``Trainer(use_distributed_sampler=False)``. Neither all frames nor all graphs are held in memory (without
    ``cache`` the graphs are). Raises ConfigError here, DataError in ``setup``.
    """

    def __init__(
        self,
        config: DataConfig | Mapping[str, Any],
        *,
        cutoff: float,
        seed: int,
        required: Iterable[str] = ("energy", "forces"),
        own_e0s: bool = False,
        charged: bool = False,
    ) -> None:
        super().__init__()
        self.config = DataConfig.read(config)
        cutoff = checked(cutoff, Cutoff, "cutoff")
        unknown = sorted(set(required) - set(QUANTITIES))
        if unknown:
            raise ConfigError(f"the loss weighs '{unknown[0]}', but labels are: {', '.join(QUANTITIES)}.")
        self.cutoff, self.seed, self.required = float(cutoff), seed, frozenset(required)
        self.own_e0s, self.charged = own_e0s, charged
        self.audit: LabelAudit
        self.splits: dict[str, list[int]]
        self.test_groups: list[str]
        self.frame_weights: Tensor | None
        self.kinds: list[str | None]
        self.species: list[int]
        self.statistics: Statistics
        self.data_hash: str
        self.train_graphs: GraphSet
        self.valid_graphs: GraphSet
        self.test_graphs: GraphSet
        self._ready = False

    def setup(self, stage: str | None = None) -> None:
        """Do all the work once; later calls return at once. ``stage`` "test": of a run whose training is over."""
        if self._ready:
            return
        config = self.config
        loaded, labels, self.audit = read_labelled(config, self.required)
        frames = loaded.frames
        self.data_hash = content_hash(frames, labels)
        stop_if_suspicious(self.audit, config)
        isolated = isolated_atom_frames(frames, self.cutoff)
        if len(isolated) == len(frames):
            raise DataError(NO_NEIGHBOUR)
        if isolated:
            note_references(self.audit, [frames[i] for i in isolated], own_e0s=self.own_e0s)
        self.splits, groups = split_frames(config, loaded, isolated)
        self.test_groups = [groups[i] for i in self.splits["test"]]
        self.kinds = [frame.kind for frame in frames]
        weights = frame_weights(config, frames)
        self.frame_weights = None if weights is None else torch.from_numpy(weights)
        self._check_coverage(labels, frames, to_train=stage != "test")
        if self.charged:
            for i in chain(*self.splits.values()):
                require_periodicity(frames[i].atoms.pbc, frames[i].where)
        # a run whose training is over stays readable
        self.species = self._check_species(frames, set(isolated) if stage != "test" else set())
        self._build_graphs(frames, labels)
        train = self.splits["train"]
        e0s = reference_energies(config.e0s, frames, labels, train, self.cutoff, unique=not self.own_e0s)
        self.statistics = train_statistics(self.train_graphs, e0s, self.required)
        self._ready = True

    def train_dataloader(self) -> TimedLoader:
        """Shuffled batches; the order is a pure function of seed and epoch."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        world_size = torch.distributed.get_world_size() if distributed else 1
        graphs, size = self.train_graphs, self.config.batch_size
        batches: Sampler[list[int]]
        if self.config.max_edges is None:
            sampler = EpochSampler(len(graphs), self.seed, rank=rank, world_size=world_size)
            batches = BatchSampler(sampler, frames_per_process(size, world_size), drop_last=False)
        else:
            batches = EdgeBatches(
                graphs.sizes["edges"],
                graphs.sizes["max_degree"],
                EpochSampler(len(graphs), self.seed),
                max_edges=self.config.max_edges,
                batch_size=size,
                rank=rank,
                world_size=world_size,
            )
        return TimedLoader(graphs, batch_sampler=batches, collate_fn=join)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation frames in order."""
        return self.in_order(self.valid_graphs)

    def test_dataloader(self) -> DataLoader[Any]:
        """The test frames in order, each exactly once."""
        return self.in_order(self.test_graphs)

    def train_sample(self, most: int) -> GraphSet:
        """Train frames, ``most`` at most: a choice that depends on ``split_seed`` alone, so the same for all arms."""
        graphs = self.train_graphs
        if len(graphs) <= most:
            return graphs
        return graphs.select(chosen(len(graphs), most, self.config.split_seed))

    def sample_to_fit(self, most: int) -> GraphSet:
        """As ``train_sample``, with further frames where any two elements occur together in none of those.

        What is fitted once, before training, would otherwise know nothing of a rare element.
        """
        graphs = self.train_graphs
        if len(graphs) <= most:
            return graphs
        picked = set(chosen(len(graphs), most, self.config.split_seed))
        seen = {pair for k in picked for pair in _companions(graphs[k])}
        for k, graph in enumerate(graphs):
            if new := _companions(graph) - seen:
                picked.add(k)
                seen |= new
        return graphs.select(sorted(picked))

    def in_order(self, graphs: GraphSet, batch_size: int | None = None) -> DataLoader[Any]:
        """Batches of ``graphs`` in their order, each exactly once, of at most ``batch_size`` (``eval_batch_size``)."""
        batches = consecutive_batches(
            graphs.sizes["edges"], self.config.max_edges, batch_size or self.config.eval_batch_size
        )
        return DataLoader(graphs, batch_sampler=batches, collate_fn=join)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The batch on the device; one of the CPU is there already, which torch_geometric takes long to find out."""
        return batch if device.type == "cpu" else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def labelled(self, part: str, quantity: str) -> bool:
        """Whether any frame of the part ``train`` or ``val`` has a label of ``quantity``."""
        graphs = {"train": self.train_graphs, "val": self.valid_graphs}[part]
        return any(bool(torch.isfinite(graph[quantity]).any()) for graph in graphs)

    def _build_graphs(self, frames: Sequence[Frame], labels: Sequence[Labels]) -> None:
        used = sorted(i for indices in self.splits.values() for i in indices)
        directory = self.config.cache_root / "graphs" if self.config.cache else None
        graphs = build_graphs(frames, labels, used, self.cutoff, self.data_hash, directory)
        self._check_largest(graphs, frames)
        position = {i: k for k, i in enumerate(used)}
        self.train_graphs, self.valid_graphs, self.test_graphs = (
            graphs.select([position[i] for i in self.splits[name]]) for name in ("train", "valid", "test")
        )
        lonely = graphs.sizes["isolated"]
        note_isolated_atoms(self.audit, frames, {used[k]: int(lonely[k]) for k in lonely.nonzero()[0]}, self.cutoff)

    def _check_largest(self, graphs: GraphSet, frames: Sequence[Frame]) -> None:
        """A graph that no batch can hold is an error, and so is a batch that no memory can hold."""
        largest, limit = int(graphs.sizes["edges"].argmax()), self.config.max_edges
        edges = int(graphs.sizes["edges"][largest])
        if limit is not None and edges > limit:
            raise DataError(
                f"{frames[int(graphs.frames[largest])].where}: has {edges} edges within {self.cutoff} Å, more than "
                f"data.max_edges={limit}; raise it to at least {edges} or remove this frame."
            )
        frames_at_once = max(self.config.batch_size, self.config.eval_batch_size)
        batch = int(np.sort(graphs.sizes["edges"])[-frames_at_once:].sum())
        batch = batch if limit is None else min(batch, limit)
        if batch * BYTES_PER_EDGE > memory_of_machine():
            raise ConfigError(
                f"a batch has up to {batch:.2g} edges, more than this machine has memory for; lower data.batch_size "
                "and data.eval_batch_size, set data.max_edges, or lower backbone.cutoff."
            )

    def _check_coverage(self, labels: Sequence[Labels], frames: Sequence[Frame], *, to_train: bool) -> None:
        """A label the loss weighs must occur in train, and one of them in validation; others are only noted."""
        for name in sorted(self.required):
            for split, indices in self.splits.items():
                if any(labels[i].has(name) for i in indices):
                    continue
                text = f"{frames[indices[0]].file}: the loss weighs {name} but no {split} frame carries it"
                if split == "train":
                    raise DataError(f"{text}; change data.split_seed or the split, or give {name} no weight.")
                self.audit.warnings.append(f"{text}, so its {split} error is not known.")
        valid = self.splits["valid"]
        # the loss of no labels is 0, so that the first epoch would stay the best one
        if to_train and not any(labels[i].has(name) for i in valid for name in self.required):
            raise DataError(
                f"{frames[valid[0]].file}: no validation frame carries what the loss weighs "
                f"({', '.join(sorted(self.required))}), so no epoch is the best; change data.split_seed or the split, "
                "or label validation frames."
            )

    def _check_species(self, frames: Sequence[Frame], isolated: set[int]) -> list[int]:
        """Atomic numbers of the train split; an element met only in another split is an error.

        So is one that train has only in ``isolated``, atoms of which nothing is learnt but E0; in these it may be.
        """

        def elements(indices: Iterable[int]) -> set[int]:
            return {int(z) for i in indices for z in np.unique(frames[i].atoms.numbers)}

        train = set(self.splits["train"])
        learnt, alone = elements(train - isolated), elements(train & isolated)
        for split in ("valid", "test"):
            for i in self.splits[split]:
                unknown = sorted(elements([i]) - (learnt | alone if i in isolated else learnt))
                if unknown:
                    beside = " other than an isolated atom" if unknown[0] in alone else ""
                    raise DataError(
                        f"{frames[i].where}: {chemical_symbols[unknown[0]]} occurs in {split} but in no train "
                        f"frame{beside}; add train frames with it or remove this frame."
                    )
        return sorted(learnt | alone)


def _companions(graph: AtomicGraph) -> set[tuple[int, ...]]:
    """The elements of a structure, and every two of its atoms by element."""
    numbers, counts = np.unique(graph.z.numpy(), return_counts=True)
    alone = {(z,) for z in numbers.tolist()}
    return alone | set(combinations(numbers.tolist(), 2)) | {(z, z) for z in numbers[counts > 1].tolist()}
