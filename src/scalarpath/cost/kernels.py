"""What the CPU kernels gain: steps of one potential with them and in torch's operations, interleaved."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from rich.table import Table

from scalarpath.core.errors import ConfigError
from scalarpath.core.terminal import add_columns, open_console
from scalarpath.cost.heads import head_potential, thermal_batch
from scalarpath.cost.output import write_result
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.cost.timing import STEPS, interleaved_times, paired_ratio
from scalarpath.nn.cpu.choice import in_torch_operations
from scalarpath.nn.cpu.library import library


def run(settings: BenchmarkSettings) -> dict[str, Any]:
    """Measure baseline and all heads, print a table and write it as JSON; returns what was written."""
    if settings.device != "cpu" or library() is None:
        raise ConfigError("suite=kernels needs device=cpu and a C++ compiler; there is nothing to compare without.")
    torch.set_num_threads(settings.threads[0])
    backbone, batch = thermal_batch(settings)
    result: dict[str, Any] = {
        "suite": "kernels",
        "backbone": backbone,
        "structure": settings.structure,
        "dtype": settings.dtype,
        "threads": settings.threads[0],
        "rounds": settings.rounds,
        "torch": torch.__version__,
        "arms": {},
    }
    table = Table(
        title=f"{settings.structure}, {settings.dtype}, {settings.threads[0]} thread(s): "
        "time with CPU kernels over time without"
    )
    add_columns(table, "head", "step", "with, s", "without, s", "ratio", words=("head", "step"))
    names = dict.fromkeys(["baseline", *settings.heads])
    potentials = {name: head_potential(name, backbone, batch, settings) for name in names}
    with open_console().status("measuring"):
        for name, potential in potentials.items():
            for kind, make in STEPS.items():
                step = make(potential, batch)
                both = {"with": step, "without": _without_kernels(step)}
                times = interleaved_times(both, settings.rounds, torch.device("cpu"))
                ratio = paired_ratio(times["with"], times["without"])
                medians = [statistics.median(values) for values in times.values()]
                row = dict(zip(("with_s", "without_s"), medians, strict=True)) | asdict(ratio)
                result["arms"].setdefault(name, {})[kind] = row
                shown = f"{ratio.median:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
                table.add_row(name, kind, *(f"{value:.4f}" for value in medians), shown)
    write_result(settings, result, table)
    return result


def _without_kernels(step: Callable[[], object]) -> Callable[[], object]:
    def plain() -> object:
        with in_torch_operations():
            return step()

    return plain
