"""What a head costs: floating-point operations and step times against baseline, interleaved on the same batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import quantile_test
from torch_geometric.data import Data

from scalarpath.potential import Potential, build_potential
from scalarpath.potential.flop_count import flops

Predict = Callable[[Data], Mapping[str, torch.Tensor]]

WARM_UP_ROUNDS = 2
ROUNDS_FOR_INTERVAL = 6  # with fewer, no order statistics bracket the median at 95 %


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios, with the 95 % confidence interval of the median (their range below six rounds)."""

    median: float
    low: float
    high: float


def paired_ratio(times: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Ratio of step times measured in the same rounds."""
    ratios = [a / b for a, b in zip(times, reference, strict=True)]
    if len(ratios) < ROUNDS_FOR_INTERVAL:
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))
    interval = quantile_test(ratios, p=0.5).confidence_interval(0.95)
    return Ratio(statistics.median(ratios), float(interval.low), float(interval.high))


def interleaved_times(
    steps: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of every step in every round; one round runs each step once, after warm-up, with the device synchronised.

    The order turns round from one round to the next, so that no step is always the one after another.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for round_ in range(-WARM_UP_ROUNDS, rounds):
        for name in names if round_ % 2 else reversed(names):
            synchronise(device)
            start = time.perf_counter()
            steps[name]()
            synchronise(device)
            if round_ >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def inference_step(potential: Potential, batch: Data, predict: Predict | None = None) -> Callable[[], object]:
    """Energy, forces and stress of one batch; ``predict`` computes the potential in another way."""
    predict = predict or potential

    def step() -> object:
        if potential.training:  # changing the mode takes time for every module
            potential.eval()
        return predict(batch)

    return step


def training_step(potential: Potential, batch: Data, predict: Predict | None = None) -> Callable[[], object]:
    """Energy, forces, stress, a loss on them, its gradient (second derivatives) and an optimiser step of size zero."""
    predict = predict or potential
    optimiser = torch.optim.AdamW(potential.parameters(), lr=0.0, amsgrad=True, fused=True)

    def step() -> object:
        if not potential.training:
            potential.train()
        out = predict(batch)
        loss = loss_of(out)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss

    return step


def loss_of(out: Mapping[str, Any]) -> Any:
    """A loss on energy, forces and stress, which takes the time of any other."""
    return sum(out[key].nan_to_num().square().mean() for key in ("energy", "forces", "stress"))


STEPS: dict[str, Callable[..., Callable[[], object]]] = {
    "inference": inference_step,
    "train": training_step,
}


def step_flops(potential: Potential, batch: Data) -> dict[str, int]:
    """Floating-point operations of an inference and of a training step on ``batch``; the potential stays as it is."""
    copy = potential.copy_to(device=potential.device)
    return {kind: flops(make(copy, batch)) for kind, make in STEPS.items()}


def baseline_twin(potential: Potential) -> Potential:
    """The same backbone with the same weights and references, without a head and without what its arm changes.

    Parts that are frozen are frozen here too. Weights whose shape the arm changes are those of a fresh start, which is
    enough for measures of cost.
    """
    config = {**potential.config, "head": {"name": "baseline", "parts": {}}}
    twin = build_potential(config)
    own, given = twin.state_dict(), potential.state_dict()
    twin.load_state_dict(own | {key: given[key] for key in own if key in given and given[key].shape == own[key].shape})
    frozen = {name for name, parameter in potential.named_parameters() if not parameter.requires_grad}
    for name, parameter in twin.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return twin.to(potential.device)


def compare(
    potentials: Mapping[str, Potential], batch: Data, rounds: int, baseline: str
) -> dict[str, dict[str, float]]:
    """Cost of several potentials against the one called ``baseline``, interleaved on ``batch``.

    Per potential and kind of step (``inference``, ``train``): kind_step_s (median, s), kind_ratio (median of paired
    step times) with _low and _high (95 % interval of the median), kind_flops (matrix products) and kind_flops_ratio.
    """
    arms: dict[str, dict[str, float]] = {name: {} for name in potentials}
    for kind, make in STEPS.items():
        steps = {name: make(potential, batch) for name, potential in potentials.items()}
        counts = {name: flops(step) for name, step in steps.items()}
        times = interleaved_times(steps, rounds, potentials[baseline].device)
        for name, arm in arms.items():
            ratio = paired_ratio(times[name], times[baseline])
            arm |= {
                f"{kind}_step_s": statistics.median(times[name]),
                f"{kind}_ratio": ratio.median,
                f"{kind}_ratio_low": ratio.low,
                f"{kind}_ratio_high": ratio.high,
                f"{kind}_flops": counts[name],
                f"{kind}_flops_ratio": counts[name] / counts[baseline],
            }
    return arms


def head_overhead(potential: Potential, batch: Data, rounds: int = 15) -> dict[str, float]:
    """Cost of the head of ``potential`` against its baseline twin on ``batch``.

    Keys: train_ratio, inference_ratio with _low and _high, train_step_s, inference_step_s and their baseline_ twins,
    flops_ratio, train_flops_ratio, flops, train_flops and their baseline_ twins (flops: of inference); see ``compare``.
    The potential is a copy: its weights and mode stay as they are.
    """
    pair = {"head": potential.copy_to(device=potential.device), "twin": baseline_twin(potential)}
    arms = compare(pair, batch, rounds, baseline="twin")
    out = {key.replace("inference_flops", "flops"): value for key, value in arms["head"].items()}
    for key in ("inference_step_s", "inference_flops", "train_step_s", "train_flops"):
        out[f"baseline_{key.replace('inference_flops', 'flops')}"] = arms["twin"][key]
    return out


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
