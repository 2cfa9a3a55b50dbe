"""The cost of several heads at one backbone size, measured in one interleaved run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from ase import Atoms
from ase.build import bulk
from ase.io import read
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from torch_geometric.data import Data

from scalarpath.errors import ConfigError
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential, build_potential, potential_config
from scalarpath.resources import BUNDLED_DIR, CONF_DIR
from scalarpath.timing import compare


def structures(name: str) -> list[Atoms]:
    """Structures to time: a thermal Ag (108 atoms) or Si cell (64 atoms), or ten ethanol molecules."""
    if name == "ethanol10":
        return list(read(BUNDLED_DIR / "ethanol" / "frames.extxyz", ":10"))
    if name not in ("ag108", "si64"):
        raise ConfigError(f"structure = {name} is unknown; use ag108, si64 or ethanol10.")
    atoms = bulk("Ag", a=4.15, cubic=True) * 3 if name == "ag108" else bulk("Si", a=5.47, cubic=True) * 2
    atoms.rattle(0.1, seed=0)
    return [atoms]


def run(cfg: DictConfig) -> dict[str, Any]:
    """Measure, print a table and write it as JSON; returns what was written."""
    torch.set_num_threads(cfg.threads)
    device = torch.device(cfg.device)
    frames = structures(cfg.structure)
    backbone = dict(OmegaConf.to_container(cfg.backbone, resolve=True))  # type: ignore[arg-type]
    batch = collate([AtomicGraph.from_atoms(atoms, float(backbone["cutoff"])) for atoms in frames])
    potentials = {
        name: _potential(name, backbone, sorted(set(batch.z.tolist())), batch, cfg)
        for name in dict.fromkeys(["baseline", *cfg.heads])
    }
    batch = batch.to(device)
    with Console().status("measuring"):
        arms = compare(potentials, batch, cfg.rounds, baseline="baseline")
    for name, potential in potentials.items():
        arms[name]["parameters"] = sum(p.numel() for p in potential.parameters())
    result = {
        "structure": cfg.structure,
        "atoms": len(batch.z),
        "edges": batch.edge_index.shape[1],
        "backbone": backbone,
        "dtype": cfg.dtype,
        "device": str(device),
        "threads": cfg.threads,
        "rounds": cfg.rounds,
        "torch": torch.__version__,
        "arms": arms,
    }
    path = Path(cfg.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    Console().print(_table(result), f"written: {path}")
    return result


def _potential(head: str, backbone: Mapping[str, Any], species: list[int], batch: Data, cfg: DictConfig) -> Potential:
    file = CONF_DIR / "head" / f"{head}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml")))
        raise ConfigError(f"heads: '{head}' is unknown; use {known}.")
    arm = OmegaConf.to_container(OmegaConf.load(file))
    config = potential_config(species, backbone, cast("dict[str, Any]", arm), dtype=cfg.dtype)
    potential = build_potential(config, seed=cfg.seed)
    degree = batch.edge_index.shape[1] / len(batch.z)
    potential.set_statistics(dict.fromkeys(species, 0.0), scale=1.0, shift=0.0, avg_num_neighbors=degree)
    potential.calibrate([batch])
    return potential.to(cfg.device)


def _table(result: Mapping[str, Any]) -> Table:
    baseline = result["arms"]["baseline"]
    table = Table(
        title=f"{result['structure']}: {result['atoms']} atoms, {result['edges']} edges, {result['dtype']}, "
        f"{result['device']}, {result['threads']} thread(s)",
        caption=f"Ratios to baseline ({baseline['inference_step_s']:.3f} s inference, {baseline['train_step_s']:.3f} s "
        f"training step): medians of {result['rounds']} interleaved rounds, 95 % intervals",
    )
    for column in ("head", "parameters", "FLOPs", "inference", "training step"):
        table.add_column(column, justify="left" if column == "head" else "right")
    for name, arm in result["arms"].items():
        ratios = [
            f"{arm[f'{kind}_ratio']:.3f} [{arm[f'{kind}_ratio_low']:.3f}, {arm[f'{kind}_ratio_high']:.3f}]"
            for kind in ("inference", "train")
        ]
        table.add_row(name, f"{arm['parameters']:,}", f"{arm['inference_flops_ratio']:.4f}", *ratios)
    return table
