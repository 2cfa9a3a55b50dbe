"""What a step does on a CPU: matrix products, C++ kernels, or anything else; and how near to the peak it is."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from scalarpath.cost.timing import WARM_UP_ROUNDS
from scalarpath.nn.cpu.twice_differentiable import Kernel

PRODUCTS = {f"aten::{name}{end}" for name in ("mm", "bmm", "addmm", "baddbmm", "mv", "addmv") for end in ("", "_")}
PEAK_SIZE = 1024  # of the square matrices whose product tells the peak


def kinds(step: Callable[[], object], dtype: torch.dtype, rounds: int) -> dict[str, float]:
    """Seconds of CPU time of a step, of its matrix products, its kernels and the rest, and shares of the peak.

    Keys: step_s, products_s, kernels_s, rest_s; peak_flops (of a large matrix product, per second), products_of_peak
    (while they run) and step_of_peak (operations of products over the time of the whole step; those of kernels are not
    counted). Step and kernels are timed without the profiler, which makes small operations look dear; these are medians
    over rounds. Of the products the profiler knows wall times only, so the shortest run of every product counts: time
    slices of other jobs lie in the longer ones.
    """
    for _ in range(WARM_UP_ROUNDS):
        step()
    steps, kernels = [], []
    with _timed_kernels() as spent:
        for _ in range(rounds):
            spent.clear()
            steps.append(_cpu_time(step))
            kernels.append(sum(spent))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as profiler:
        for _ in range(rounds):
            step()
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    operations = 0.0
    for event in profiler.events() or []:
        if event.name in PRODUCTS:
            times[event.name, str(event.input_shapes)].append(event.self_cpu_time_total * 1e-6)
            operations += (event.flops or 0) / rounds
    products_s = sum(min(values) * len(values) for values in times.values()) / rounds
    step_s, kernels_s, peak = statistics.median(steps), statistics.median(kernels), _peak(dtype, rounds)
    return {
        "step_s": step_s,
        "products_s": products_s,
        "kernels_s": kernels_s,
        "rest_s": step_s - products_s - kernels_s,
        "peak_flops": peak,
        "products_of_peak": operations / products_s / peak,
        "step_of_peak": operations / step_s / peak,
    }


def _cpu_time(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def _peak(dtype: torch.dtype, rounds: int) -> float:
    """Operations per second of a product of large matrices."""
    matrix = torch.ones(PEAK_SIZE, PEAK_SIZE, dtype=dtype)
    times = [_cpu_time(lambda: matrix @ matrix) for _ in range(WARM_UP_ROUNDS + rounds)]
    return float(2 * PEAK_SIZE**3 / statistics.median(times[WARM_UP_ROUNDS:]))


@contextmanager
def _timed_kernels() -> Iterator[list[float]]:
    """A list to which every run of a kernel appends its CPU time."""
    spent: list[float] = []
    run = Kernel.run

    def timed(self: Kernel, call: Any) -> None:
        spent.append(_cpu_time(lambda: run(self, call)))

    Kernel.run = timed  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        Kernel.run = run  # type: ignore[method-assign]
