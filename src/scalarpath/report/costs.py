"""What an arm costs in comparison with baseline: parameters, operations, time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scalarpath.report.cells import BASELINE, Cell, Placed
from scalarpath.report.runs import Run


@dataclass(frozen=True)
class Ratio:
    """A ratio to baseline: ``value`` is the median over the runs.

    ``low`` is the lowest and ``high`` the highest end of the 95 % intervals that the runs measured themselves.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Cost(Placed):
    """What one arm costs in one cell; NaN where it is not known.

    ``parameters`` are the trainable numbers, ``parameter_ratio`` their ratio to baseline. ``flops_ratio`` is the ratio
    of the operations of an inference in matrix products, at the same revision of the program. ``train`` and
    ``inference`` are ratios of times of a step, measured in turn with baseline in the same process (``overhead/...``).
    ``step_ms`` and ``wall_s`` are means over runs of the median training step and of the time of the whole run; they
    contain whatever else the machine was doing.
    """

    data: str
    backbone: str
    terms: str
    arm: str
    runs: int
    parameters: float
    parameter_ratio: float
    flops_ratio: float
    train: Ratio
    inference: Ratio
    step_ms: float
    wall_s: float


def costs_of(cell: Cell) -> list[Cost]:
    """The cost of every arm of a cell; ratios are NaN without a baseline run."""
    plain = list(cell.arms.get(BASELINE, {}).values())
    return [_cost(cell, arm, list(seeds.values()), plain) for arm, seeds in cell.arms.items()]


def _cost(cell: Cell, arm: str, runs: Sequence[Run], plain: Sequence[Run]) -> Cost:
    parameters = _mean(runs, "parameters/total")
    # another revision may take other operations for the same numbers
    shared = {run.revision for run in runs} & {run.revision for run in plain}
    counts = [_mean([run for run in each if run.revision in shared], "flops/inference") for each in (runs, plain)]
    flops = counts[0] / counts[1]
    if math.isnan(flops):  # older runs know the ratio alone
        flops = _mean(runs, "overhead/flops_ratio")
    return Cost(
        data=cell.data,
        backbone=cell.backbone,
        terms=cell.terms,
        arm=arm,
        runs=len(runs),
        parameters=parameters,
        parameter_ratio=parameters / _mean(plain, "parameters/total"),
        flops_ratio=flops,
        train=_ratio(runs, "overhead/train_ratio"),
        inference=_ratio(runs, "overhead/inference_ratio"),
        step_ms=_mean(runs, "time/step_ms"),
        wall_s=_mean(runs, "time/wall_s"),
    )


def _ratio(runs: Sequence[Run], key: str) -> Ratio:
    values, low, high = (_known(runs, key + end) for end in ("", "_low", "_high"))
    return Ratio(
        float(np.median(values)) if len(values) else math.nan,
        float(min(low)) if len(low) else math.nan,
        float(max(high)) if len(high) else math.nan,
    )


def _mean(runs: Sequence[Run], key: str) -> float:
    values = _known(runs, key)
    return float(values.mean()) if len(values) else math.nan


def _known(runs: Sequence[Run], key: str) -> np.ndarray:
    values = np.array([run.number(key) for run in runs])
    return values[np.isfinite(values)]
