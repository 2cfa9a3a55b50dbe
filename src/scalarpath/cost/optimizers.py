"""What optimizers cost: a training step with each against one with AdamW, on the same gradients."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from rich.table import Table
from torch import nn
from torch_geometric.data import Data

from scalarpath.core.settings import read_settings
from scalarpath.core.terminal import add_columns, open_console
from scalarpath.cost.heads import head_potential, thermal_batch
from scalarpath.cost.named import named_config
from scalarpath.cost.output import write_result
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.cost.timing import WARM_UP_ROUNDS, loss_of, paired_ratio, synchronise
from scalarpath.optimizers import build_optimizer
from scalarpath.potential import Potential
from scalarpath.runs.sections import OptimizerSettings

REFERENCE = "adamw"
STEPS_OF_ROUND = 20  # some optimizers do more in every tenth step: a round has whole turns, and its mean counts


def run(settings: BenchmarkSettings) -> dict[str, Any]:
    """Measure, print a table and write it as JSON; returns what was written."""
    torch.set_num_threads(settings.threads[0])
    backbone, batch = thermal_batch(settings)
    potential = head_potential("baseline", backbone, batch, settings)
    names = dict.fromkeys([REFERENCE, *settings.optimizers])
    chosen = {name: read_settings(OptimizerSettings, named_config("optimizer", name), "optimizer") for name in names}
    with open_console().status("measuring"):
        gradients, steps = times(potential, batch.to(potential.device), chosen, settings.rounds)
    whole = {name: [a + b for a, b in zip(gradients, values, strict=True)] for name, values in steps.items()}
    arms = {
        name: {
            "optimizer_s": statistics.median(steps[name]),
            "step_s": statistics.median(whole[name]),
            **asdict(paired_ratio(whole[name], whole[REFERENCE])),
        }
        for name in chosen
    }
    result = {
        "suite": "optimizers",
        "structure": settings.structure,
        "atoms": len(batch.z),
        "backbone": backbone,
        "parameters": sum(p.numel() for p in potential.parameters()),
        "dtype": settings.dtype,
        "device": settings.device,
        "threads": settings.threads[0],
        "rounds": settings.rounds,
        "torch": torch.__version__,
        "arms": arms,
    }
    write_result(settings, result, _table(result))
    return result


def times(
    potential: Potential, batch: Data, chosen: Mapping[str, OptimizerSettings], rounds: int
) -> tuple[list[float], dict[str, list[float]]]:
    """Mean seconds of a gradient, and of a step of each optimizer, per round.

    Each optimizer moves a copy of the weights; all have the gradients of the potential, which stays as it is.
    """
    copies = {name: [nn.Parameter(p.detach().clone()) for p in potential.parameters()] for name in chosen}
    optimizers: dict[str, Any] = {name: build_optimizer(chosen[name], copies[name], []) for name in chosen}
    for name, each in chosen.items():
        if each.kind == "schedule_free":
            optimizers[name].train()
    potential.train()
    gradients: list[float] = []
    steps: dict[str, list[float]] = {name: [] for name in chosen}
    names = list(chosen)
    for round_ in range(-WARM_UP_ROUNDS, rounds):
        total, each_total = 0.0, dict.fromkeys(chosen, 0.0)
        for step in range(STEPS_OF_ROUND):
            start = _now(potential.device)
            out = potential(batch)
            loss = loss_of(out)
            potential.zero_grad(set_to_none=True)
            loss.backward()
            total += _now(potential.device) - start
            for name in names if step % 2 else reversed(names):
                for p, source in zip(copies[name], potential.parameters(), strict=True):
                    p.grad = None if source.grad is None else source.grad.clone()
                start = _now(potential.device)
                optimizers[name].step()
                each_total[name] += _now(potential.device) - start
        if round_ >= 0:
            gradients.append(total / STEPS_OF_ROUND)
            for name, seconds in each_total.items():
                steps[name].append(seconds / STEPS_OF_ROUND)
    return gradients, steps


def _now(device: torch.device) -> float:
    """Seconds that the process has computed, which other processes do not lengthen; on a GPU those that have passed."""
    if device.type == "cpu":
        return time.process_time()
    synchronise(device)
    return time.perf_counter()


def _table(result: Mapping[str, Any]) -> Table:
    arms = result["arms"]
    table = Table(
        title=f"{result['structure']}: {result['atoms']} atoms, {result['parameters']:,} parameters, "
        f"{result['dtype']}, {result['device']}, {result['threads']} thread(s)",
        caption=f"Training steps over those with {REFERENCE} ({1e3 * arms[REFERENCE]['step_s']:.1f} ms): medians of "
        f"{result['rounds']} rounds of {STEPS_OF_ROUND} steps, 95 % intervals",
    )
    add_columns(table, "optimizer", "its own time, ms", "training step", words=("optimizer",))
    for name, arm in arms.items():
        ratio = f"{arm['median']:.3f} [{arm['low']:.3f}, {arm['high']:.3f}]"
        table.add_row(name, f"{1e3 * arm['optimizer_s']:.2f}", ratio)
    return table
