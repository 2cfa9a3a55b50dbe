"""Time and memory of an inference (energy, forces, stress) as the number of atoms grows."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.build import bulk
from hydra.core.hydra_config import HydraConfig
from matplotlib.figure import Figure
from rich.progress import track
from rich.table import Table

from scalarpath.core.memory import prepare_heap
from scalarpath.core.terminal import add_columns
from scalarpath.cost.heads import calibrated_potential
from scalarpath.cost.memory import Memory
from scalarpath.cost.named import arm_of
from scalarpath.cost.output import write_result
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.cost.timing import inference_step, synchronise
from scalarpath.graph import AtomicGraph, collate

LATTICE_CONSTANT, RATTLE = 5.47, 0.05  # Å, silicon


def run(settings: BenchmarkSettings) -> dict[str, Any]:
    """Measure every size in a process of its own, print a table, write JSON and SVG; returns what was measured."""
    setting = {
        "backbone": settings.backbone,
        "head": arm_of(settings.scale.head),
        "dtype": settings.dtype,
        "device": settings.device,
        "threads": settings.threads[0],
        "seed": settings.seed,
    }
    rows = []
    for cells in track(sorted(settings.scale.cells), "measuring"):
        # the largest memory of a process is never given back, so every size gets a fresh one
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(_measure, (setting, cells, settings.scale.steps)))
    names = {"backbone": HydraConfig.get().runtime.choices["backbone"], "head": settings.scale.head}
    result = {"suite": "scale", **setting, **names, "torch": torch.__version__, "sizes": rows}
    result["exponents"] = {key: growth(rows, key) for key in ("step_s", "memory_GiB")}
    figure = Path(settings.output).with_suffix(".svg")
    _figure(result).savefig(figure)
    write_result(settings, result, _table(result), figure)
    return result


def growth(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Exponent of ``key`` against the number of atoms between the two largest sizes: 1 is linear; None if unknown."""
    if len(rows) < 2 or not rows[-2][key]:
        return None
    (a, x), (b, y) = ((row["atoms"], row[key]) for row in rows[-2:])
    return float(np.log(y / x) / np.log(b / a))


def _measure(setting: Mapping[str, Any], cells: int, steps: int) -> dict[str, float | None]:
    """Median seconds of a step, and the memory (GiB) that it takes beyond what the process held before."""
    prepare_heap()
    torch.set_num_threads(setting["threads"])
    device = torch.device(setting["device"])
    atoms = bulk("Si", a=LATTICE_CONSTANT, cubic=True) * cells
    atoms.rattle(RATTLE, seed=setting["seed"])
    start = time.perf_counter()
    batch = collate([AtomicGraph.from_atoms(atoms, float(setting["backbone"]["cutoff"]))])
    graph_s = time.perf_counter() - start
    small = collate([AtomicGraph.from_atoms(atoms[: 8 * 8], float(setting["backbone"]["cutoff"]))])
    potential = calibrated_potential(
        setting["head"], setting["backbone"], small, dtype=setting["dtype"], seed=setting["seed"]
    ).to(device)
    step = inference_step(potential, batch.to(device))
    inference_step(potential, small.to(device))()  # libraries are loaded, kernels are there
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        synchronise(device)
        times.append(time.perf_counter() - start)
    memory = Memory(device)  # last, because it takes from the heap what makes steps fast
    step()
    return {
        "atoms": len(atoms),
        "edges": batch.edge_index.shape[1],
        "graph_s": graph_s,
        "step_s": statistics.median(times),
        "memory_GiB": memory.taken_gib(),
    }


def _table(result: Mapping[str, Any]) -> Table:
    time_, memory = (f"{x:.2f}" if x else "?" for x in result["exponents"].values())
    table = Table(
        title=f"Inference of silicon: {result['backbone']} x {result['head']}, {result['dtype']}, {result['device']}, "
        f"{result['threads']} thread(s)",
        caption=f"From the last but one to the last: time grows as atoms^{time_}, memory as atoms^{memory}",
    )
    add_columns(table, "atoms", "edges", "neighbour list, s", "step, s", "ms per atom", "memory, GiB")
    for row in result["sizes"]:
        numbers = [row["graph_s"], row["step_s"], 1e3 * row["step_s"] / row["atoms"], row["memory_GiB"]]
        shown = ["?" if x is None else f"{x:.3g}" for x in numbers]
        table.add_row(f"{row['atoms']:,}", f"{row['edges']:,}", *shown)
    return table


def _figure(result: Mapping[str, Any]) -> Figure:
    """Time and memory against atoms, with the line through the largest size and the origin."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    atoms = np.array([row["atoms"] for row in result["sizes"]])
    for axis, key, label in zip(
        figure.subplots(1, 2), ("step_s", "memory_GiB"), ("time of a step, s", "memory of a step, GiB"), strict=True
    ):
        values = np.array([row[key] for row in result["sizes"]], dtype=float)
        axis.loglog(atoms, values, "o-", ms=4, label="measured")
        axis.loglog(atoms, values[-1] * atoms / atoms[-1], "--", color="0.6", lw=1, label="linear")
        axis.set(xlabel="atoms", ylabel=label)
        axis.grid(color="0.9")
    figure.axes[0].legend(frameon=False)
    figure.suptitle(f"{result['backbone']} x {result['head']}, {result['dtype']}, {result['threads']} thread(s)")
    return figure
