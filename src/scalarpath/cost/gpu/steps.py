"""Times and memory of steps of one backbone with several heads in one mode, against its baseline in eager mode."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from scalarpath.cost.gpu.rows import Row, reason
from scalarpath.cost.heads import calibrated_potential
from scalarpath.cost.memory import Memory
from scalarpath.cost.structures import structures
from scalarpath.cost.timing import STEPS, interleaved_times, loss_of, paired_ratio, synchronise
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential
from scalarpath.potential.backend import PotentialBackend, verify
from scalarpath.potential.compiled import CompiledPotential
from scalarpath.potential.cuequivariance import CuequivariancePotential

BACKENDS: dict[str, Callable[[Potential], PotentialBackend]] = {
    "cuequivariance": CuequivariancePotential,
    "compiled": CompiledPotential,
}
REFERENCE = "baseline, eager"
Steps = dict[str, Callable[[], object]]


def step_rows(setting: Mapping[str, Any]) -> Iterator[Row]:
    """One row per head of ``setting``, all steps interleaved with those of baseline in eager mode.

    Another mode than eager is compared with eager first, predictions and gradients. What fails on the way, for want of
    memory or of a package, is the reason of that row. first_s: seconds until both kinds of step have run once, so what
    compiling takes; memory_GiB: what a training step takes beyond batch, weights and gradients.
    """
    device, mode = torch.device(setting["device"]), setting["mode"]
    cutoff = float(setting["backbone"]["cutoff"])
    graphs = [AtomicGraph.from_atoms(atoms, cutoff) for atoms in structures(setting["structure"])]
    on_cpu, batch = collate(graphs), collate(graphs).to(device)  # which moves the batch itself

    def prepared(head: Mapping[str, Any], mode: str) -> Steps:
        potential = calibrated_potential(head, setting["backbone"], on_cpu, dtype="float32", seed=setting["seed"])
        potential = potential.to(device)
        backend = BACKENDS[mode](potential) if mode in BACKENDS else None
        if backend is not None:
            verify(backend, batch, loss_of)
        steps = {kind: make(potential, batch, backend) for kind, make in STEPS.items()}
        for step in steps.values():
            step()
        synchronise(device)
        return steps

    ready: dict[str, Steps] = {REFERENCE: prepared(setting["baseline"], "eager")}
    first: dict[str, float] = {}
    for name, head in setting["heads"].items():
        start = time.perf_counter()
        try:
            ready[name] = prepared(head, mode)
            first[name] = time.perf_counter() - start
        except Exception as error:
            yield {**_names(setting, name), **reason(error)}
            if device.type == "cuda":
                torch.cuda.empty_cache()  # of what has failed for want of memory
    if not first:
        return
    size = {"atoms": len(batch.z), "edges": batch.edge_index.shape[1]}
    times = {
        kind: interleaved_times({name: steps[kind] for name, steps in ready.items()}, setting["rounds"], device)
        for kind in STEPS
    }
    for name, seconds in first.items():
        row: Row = {**_names(setting, name), **size, "first_s": seconds}
        for kind, of_arms in times.items():
            ratio = paired_ratio(of_arms[name], of_arms[REFERENCE])
            row |= {
                f"{kind}_ms": 1e3 * statistics.median(of_arms[name]),
                f"{kind}_ratio": ratio.median,
                f"{kind}_ratio_low": ratio.low,
                f"{kind}_ratio_high": ratio.high,
            }
        memory = Memory(device)
        ready[name]["train"]()
        yield {**row, "memory_GiB": memory.taken_gib()}


def _names(setting: Mapping[str, Any], head: str) -> Row:
    return {"part": "steps", "backbone": setting["name"], "head": head, "mode": setting["mode"]}
