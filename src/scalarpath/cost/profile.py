"""Where the time of a step goes: shares of the parts of a potential, forward and backward, and of kinds of work."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from rich.console import Group
from rich.table import Table
from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from scalarpath.core.terminal import add_columns, open_console
from scalarpath.cost.heads import head_potential, thermal_batch
from scalarpath.cost.kinds import kinds
from scalarpath.cost.output import write_result
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.cost.timing import WARM_UP_ROUNDS, inference_step, training_step
from scalarpath.potential import Potential

PART, BACKWARD, STEP = "part:", "loss backward", "optimiser"
REST = "rest (geometry, sums, loss)"
PHASES = ("forward", "forces", "backward", "optimiser")  # forces: the gradient that gives them
DEPTH = 4  # components of a module's name that make a part, as backbone.layers.0.convolution
NODE = "autograd::engine::evaluate_function: "
SMALL = 0.002  # parts below this share of both steps are not shown

Shares = dict[str, dict[str, float]]


def run(settings: BenchmarkSettings) -> dict[str, Shares]:
    """Profile one potential, print a table and write it as JSON; returns {step: {part: {phase: share}}}."""
    torch.set_num_threads(settings.threads[0])
    backbone, batch = thermal_batch(settings)
    potential = head_potential(settings.profile.head, backbone, batch, settings)
    batch = batch.to(torch.device(settings.device))
    result, work = {}, {}
    on_one_thread = settings.device == "cpu" and settings.threads[0] == 1
    with open_console().status("measuring"):
        for name, make in (("train", training_step), ("inference", inference_step)):
            step = make(potential, batch)
            if on_one_thread:
                work[name] = kinds(step, potential.dtype, settings.rounds)
            result[name] = shares(potential, step, settings.rounds)
    setting = {
        "structure": settings.structure,
        "backbone": backbone,
        "head": settings.profile.head,
        "dtype": settings.dtype,
    }
    content = {"suite": "profile", **setting, "threads": settings.threads[0], "torch": torch.__version__, **result}
    write_result(settings, {**content, "kinds": work}, Group(_table(result), _kinds_table(work)))
    return result


def shares(potential: Potential, step: Callable[[], object], rounds: int) -> Shares:
    """Share of the CPU time of ``step`` per part of ``potential`` and phase (see PHASES); they add up to 1.

    An operation belongs to the innermost module in whose forward, or other public method, it runs; one of a backward
    pass to the module whose operation made its autograd node. Small operations look dearer than they are, because the
    profiler costs the same for every operation.
    """
    with _labelled(potential):
        for _ in range(WARM_UP_ROUNDS):
            step()
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(rounds):
                step()
    return _attributed(profiler.events() or [])


@contextmanager
def _labelled(potential: Potential) -> Iterator[None]:
    """Give the public methods of every module, Tensor.backward and Optimizer.step a label while profiling."""
    wrapped: list[tuple[nn.Module, str]] = []
    for name, module in potential.named_modules():
        label = PART + ".".join(name.split(".")[:DEPTH])
        for method in _methods(module) if name else ():
            object.__setattr__(module, method, _within(label, getattr(module, method)))
            wrapped.append((module, method))
    backward, optimiser_step = torch.Tensor.backward, torch.optim.AdamW.step
    torch.Tensor.backward = _within(BACKWARD, backward)  # type: ignore[method-assign]
    torch.optim.AdamW.step = _within(STEP, optimiser_step)  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.backward, torch.optim.AdamW.step = backward, optimiser_step  # type: ignore[method-assign]
        for module, method in wrapped:
            object.__delattr__(module, method)


def _methods(module: nn.Module) -> list[str]:
    """Names of the methods of the module's own class (not torch's) that a caller uses."""
    classes = [cls for cls in type(module).__mro__ if cls.__module__.startswith("scalarpath.")]
    names = {name for cls in classes for name, value in vars(cls).items() if inspect.isfunction(value)}
    return sorted(name for name in names if not name.startswith("_"))


def _within(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(label):
            return function(*args, **kwargs)

    return call


def _attributed(events: Iterable[FunctionEvent]) -> Shares:
    """Shares per part and phase from the self time of every event, in the order in which they started."""
    part_of_node: dict[int, str] = {}
    totals: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(PHASES, 0.0))
    for event in sorted(events, key=lambda e: (e.time_range.start, -e.time_range.end)):
        part, phase = _place(event, part_of_node)
        # the operation that makes a node is the last one to report its number
        if event.sequence_nr >= 0 and not event.name.startswith(NODE) and not _runs_a_node(event):
            part_of_node[event.sequence_nr] = part
        totals[part][phase] += event.self_cpu_time_total
    whole = sum(sum(row.values()) for row in totals.values())
    return {part: {phase: time / whole for phase, time in row.items()} for part, row in totals.items()}


def _place(event: FunctionEvent, part_of_node: Mapping[int, str]) -> tuple[str, str]:
    """Part and phase of an event, from what it runs in."""
    part: str | None = None
    phase, above = "forward", cast("FunctionEvent | None", event)
    while above is not None:
        if part is None and above.name.startswith(PART):
            part = above.name.removeprefix(PART)
        elif above.name.startswith(NODE):
            part = part_of_node.get(above.sequence_nr, REST) if part is None else part
            phase = "forces" if phase == "forward" else phase
        elif above.name in (BACKWARD, STEP):
            phase = "backward" if above.name == BACKWARD else "optimiser"
            part = STEP if above.name == STEP else part
        above = above.cpu_parent
    return part or REST, phase


def _runs_a_node(event: FunctionEvent) -> bool:
    """Whether the event is the function of an autograd node itself, which carries the number of the node it runs."""
    return event.cpu_parent is not None and event.cpu_parent.name == NODE + event.name


def _kinds_table(work: Mapping[str, Mapping[str, float]]) -> Table:
    table = Table(
        title="CPU time, ms",
        caption="of peak: operations of the matrix products against those that a large one does in the same time, "
        "while they run and over the whole step",
    )
    table.add_column("")
    add_columns(table, "step", "matrix products", "kernels", "rest", "of peak: products", "of peak: step")
    for name, row in work.items():
        times = [f"{1e3 * row[key]:.1f}" for key in ("step_s", "products_s", "kernels_s", "rest_s")]
        table.add_row(name, *times, *(f"{100 * row[key]:.0f} %" for key in ("products_of_peak", "step_of_peak")))
    return table


def _table(result: Mapping[str, Shares]) -> Table:
    table = Table(
        title="Share of a step's time, %", caption="forces: the gradient that gives them; of the profiled time"
    )
    table.add_column("part", no_wrap=True)
    columns = [("train", phase) for phase in PHASES[:3]] + [("inference", phase) for phase in PHASES[:2]]
    add_columns(table, *(f"{step}\n{phase}" for step, phase in columns))
    totals = {part: sum(row.values()) for part, row in result["train"].items()}
    for part in sorted(totals, key=lambda part: -totals[part]):
        rows = {step: result[step].get(part, dict.fromkeys(PHASES, 0.0)) for step in result}
        if max(sum(row.values()) for row in rows.values()) >= SMALL:
            if part == STEP:  # has no column of its own
                rows["train"] = {**rows["train"], "backward": rows["train"][STEP]}
            table.add_row(
                part.removeprefix("backbone."), *(f"{100 * rows[step][phase]:.1f}" for step, phase in columns)
            )
    return table
