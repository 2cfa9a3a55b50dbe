"""The cost of several heads at one backbone size, measured in one interleaved run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from rich.table import Table
from torch_geometric.data import Data

from scalarpath.core.terminal import add_columns, open_console
from scalarpath.cost.named import arm_of
from scalarpath.cost.output import write_result
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.cost.structures import structures
from scalarpath.cost.timing import compare
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential, build_potential, potential_config


def run(settings: BenchmarkSettings) -> dict[str, Any]:
    """Measure, print a table and write it as JSON; returns what was written."""
    torch.set_num_threads(settings.threads[0])
    device = torch.device(settings.device)
    backbone, batch = thermal_batch(settings)
    potentials = {
        name: head_potential(name, backbone, batch, settings) for name in dict.fromkeys(["baseline", *settings.heads])
    }
    batch = batch.to(device)
    with open_console().status("measuring"):
        arms = compare(potentials, batch, settings.rounds, baseline="baseline")
    for name, potential in potentials.items():
        arms[name]["parameters"] = sum(p.numel() for p in potential.parameters())
    result = {
        "structure": settings.structure,
        "atoms": len(batch.z),
        "edges": batch.edge_index.shape[1],
        "backbone": backbone,
        "dtype": settings.dtype,
        "device": str(device),
        "threads": settings.threads[0],
        "rounds": settings.rounds,
        "torch": torch.__version__,
        "arms": arms,
    }
    write_result(settings, result, _table(result))
    return result


def thermal_batch(settings: BenchmarkSettings) -> tuple[dict[str, Any], Data]:
    """Options of the backbone, and the structures as one batch."""
    frames, cutoff = structures(settings.structure), float(settings.backbone["cutoff"])
    return settings.backbone, collate([AtomicGraph.from_atoms(atoms, cutoff) for atoms in frames])


def head_potential(head: str, backbone: Mapping[str, Any], batch: Data, settings: BenchmarkSettings) -> Potential:
    """Potential with a head of conf/head, calibrated on ``batch``; raises ConfigError for an unknown head."""
    return calibrated_potential(arm_of(head), backbone, batch, dtype=settings.dtype, seed=settings.seed).to(
        settings.device
    )


def calibrated_potential(
    arm: Mapping[str, Any], backbone: Mapping[str, Any], batch: Data, *, dtype: str, seed: int
) -> Potential:
    """Untrained potential whose statistics come from ``batch``."""
    species = sorted(set(batch.z.tolist()))
    degree = batch.edge_index.shape[1] / len(batch.z)
    potential = build_potential(potential_config(species, backbone, arm, dtype=dtype), seed=seed, neighbours=degree)
    potential.set_statistics(dict.fromkeys(species, 0.0), scale=1.0, shift=0.0, avg_num_neighbors=degree)
    potential.calibrate([batch])
    return potential


def _table(result: Mapping[str, Any]) -> Table:
    baseline = result["arms"]["baseline"]
    table = Table(
        title=f"{result['structure']}: {result['atoms']} atoms, {result['edges']} edges, {result['dtype']}, "
        f"{result['device']}, {result['threads']} thread(s)",
        caption=f"Ratios to baseline ({baseline['inference_step_s']:.3f} s inference, {baseline['train_step_s']:.3f} s "
        f"training step): medians of {result['rounds']} interleaved rounds, 95 % intervals",
    )
    add_columns(table, "head", "parameters", "FLOPs", "inference", "training step", words=("head",))
    for name, arm in result["arms"].items():
        ratios = [
            f"{arm[f'{kind}_ratio']:.3f} [{arm[f'{kind}_ratio_low']:.3f}, {arm[f'{kind}_ratio_high']:.3f}]"
            for kind in ("inference", "train")
        ]
        table.add_row(name, f"{arm['parameters']:,}", f"{arm['inference_flops_ratio']:.4f}", *ratios)
    return table
