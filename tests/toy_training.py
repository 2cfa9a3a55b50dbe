"""A learnable pair potential that obeys the interface of Potential, for tests of the training layer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from ase.build import bulk
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader

from scalarpath.data.batches import EpochSampler
from scalarpath.data.timed_loader import TimedLoader
from scalarpath.graph import AtomicGraph, collate
from scalarpath.runs.job import Job
from scalarpath.runs.run_directory import RunDirectory

CUTOFF = 4.0


class ToyPotential(nn.Module):
    """E = sum over edges of f(r), f a small MLP; one extra "head" weight that starts at zero."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: nn.Parameter(torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype))  # noqa: E731
        self.first, self.second = draw(8, 12), draw(12, 1)
        self.head = nn.Parameter(torch.zeros(8, 1, dtype=dtype))
        self.register_buffer("scale", torch.tensor(0.1, dtype=dtype))
        self.config: dict[str, Any] = {"seed": seed}

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {"layer_1": [self.first], "readout": [self.second], "head": [self.head]}

    def backbone_parameters(self) -> list[nn.Parameter]:
        return [self.first, self.second]

    def head_parameters(self) -> list[nn.Parameter]:
        return [self.head]

    def forward(self, batch: Any, *, forces: bool = True, stress: bool = True) -> dict[str, Tensor]:
        graph = batch.batch
        strain = torch.zeros(batch.num_graphs, 3, 3, dtype=torch.float64, requires_grad=True)
        pos = batch.pos.detach().requires_grad_(True)
        symmetric = 0.5 * (strain + strain.transpose(1, 2))
        moved = pos + torch.einsum("ni,nij->nj", pos, symmetric[graph])
        cell = batch.cell + batch.cell @ symmetric
        i, j = batch.edge_index
        vector = moved[j] - moved[i] + torch.einsum("ei,eij->ej", batch.edge_shift, cell[graph[i]])
        r = vector.norm(dim=1, keepdim=True).to(self.first.dtype)
        n = torch.arange(1, 9, dtype=r.dtype)
        basis = torch.sin(n * torch.pi * r / CUTOFF) / r * (1 - r / CUTOFF) ** 2
        pair = self.scale * (torch.tanh(basis @ self.first) @ self.second + basis @ self.head)
        node = torch.zeros(pos.shape[0], dtype=torch.float64).index_add(0, i, pair[:, 0].double())
        energy = torch.zeros(batch.num_graphs, dtype=torch.float64).index_add(0, graph, node)
        wanted = [pos] * forces + [strain] * stress
        gradients = list(torch.autograd.grad(energy.sum(), wanted, create_graph=self.training)) if wanted else []
        result = {"energy": energy, "node_energy": node}
        if forces:
            result["forces"] = -gradients.pop(0)
        if stress:
            volume = torch.linalg.det(batch.cell).abs()
            result["stress"] = gradients.pop(0) / volume[:, None, None]
        return result


class ToyData(pl.LightningDataModule):
    """Rattled silicon cells labelled by another toy potential."""

    def __init__(self, n_train: int = 8, batch_size: int = 3, seed: int = 0) -> None:
        super().__init__()
        graphs = labelled_graphs(n_train + 6)
        self.train_graphs, self.valid_graphs, self.test_graphs = graphs[6:], graphs[:3], graphs[3:6]
        self.batch_size, self.seed = batch_size, seed

    def train_dataloader(self) -> TimedLoader:
        sampler = EpochSampler(len(self.train_graphs), self.seed)
        return TimedLoader(
            self.train_graphs, batch_sampler=BatchSampler(sampler, self.batch_size, False), collate_fn=collate
        )

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.valid_graphs, batch_size=2, collate_fn=collate)


def labelled_graphs(n: int, repeat: int = 1) -> list[AtomicGraph]:
    rng = np.random.default_rng(7)
    oracle = ToyPotential(seed=99)
    graphs = []
    for k in range(n):
        atoms = bulk("Si", cubic=True).repeat((repeat, 1, 1))
        atoms.set_cell(atoms.cell.array * rng.uniform(0.97, 1.03), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        graph = AtomicGraph.from_atoms(atoms, CUTOFF, frame=k)
        labels = oracle.eval()(collate([graph]))
        graph.energy, graph.forces, graph.stress = (labels[key].detach() for key in ("energy", "forces", "stress"))
        graphs.append(graph)
    return graphs


def in_batches(graphs: list[AtomicGraph], size: int) -> list[Any]:
    return [collate(graphs[start : start + size]) for start in range(0, len(graphs), size)]


def toy_config(**changes: Any) -> dict[str, Any]:
    """A complete plain configuration of a short, silent fit; ``changes`` update its sections."""
    config: dict[str, Any] = {
        "data": {"name": "toy", "path": "toy.extxyz"},
        "backbone": {"kind": "toy", "cutoff": CUTOFF},
        "head": {"name": "toy", "parts": {}},
        "logger": {"kind": "csv", "wandb": None},
        "seed": 0, "dtype": "float64", "repulsion": None, "shift": "zero", "measure_overhead": False,
        "artifacts": None, "compile": False, "kernels": None,
        "output_dir": "unused",
        "loss": {
            "kind": "mse", "energy": 1.0, "forces": 10.0, "stress": 10.0, "huber_delta": None, "stage_two": None,
        },
        "optimizer": {
            "kind": "adamw", "lr": 0.01, "amsgrad": True, "weight_decay": 1e-4, "beta1": 0.9, "beta2": 0.999,
        },
        "scheduler": {"kind": "cosine", "warmup_steps": 2, "final_factor": 0.01, "plateau": None},
        "trainer": {
            "accelerator": "cpu", "strategy": "auto", "devices": 1, "num_nodes": 1,
            "deterministic": False, "threads": None, "max_epochs": 4, "max_time": None,
            "gradient_clip": 10.0, "accumulate_batches": 1,
        },
        "callbacks": {
            "ema": {"decay": 0.9}, "checkpoint": {"monitor": "val/loss"}, "early_stopping": None,
            "step_timer": {"warmup_steps": 1}, "progress": {"style": "none"},
        },
    }  # fmt: skip
    for section, values in changes.items():
        if isinstance(values, dict):
            config[section].update(values)
        else:
            config[section] = values
    return config


def toy_job(**changes: Any) -> Job:
    return Job.read(toy_config(**changes))


def new_directory(path: Path) -> RunDirectory:
    return RunDirectory.create(path)
