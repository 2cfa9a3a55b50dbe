"""What the runs say about each claim of the paper, by one rule that no setting changes (docs/report.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scalarpath.artifacts.measure import Claim
from scalarpath.artifacts.registry import all_measures
from scalarpath.core.quantities import QUANTITIES
from scalarpath.report.artifact_rows import ArtifactLine
from scalarpath.report.cells import BASELINE, Placed
from scalarpath.report.costs import Cost
from scalarpath.report.effects import (
    ALL_DATA,
    ARM,
    NEEDED_CONTROL,
    NEEDED_SEEDS,
    OF_ITS_SIZE,
    Effect,
    percent,
    shown_effect,
)
from scalarpath.report.paired_tests import t_test

REPLICATED, NOT_REPLICATED, UNDECIDED = "replicated", "not replicated", "undecided"
RELEVANT_GAIN = 0.05
"""Smallest gain that counts, a fraction: an interval that leaves only smaller ones speaks against a claim."""
PUBLISHED_ON = "mace"
PUBLISHED_PERCENT = {"forces": (-27.0, -22.0), "energy": (-22.0, -19.0), "stress": (-28.0, -27.0)}
PUBLISHED_COST = 1.05
CONFIDENT_P = 0.05


@dataclass(frozen=True)
class Verdict(Placed):
    """What the runs of one data set and backbone say about one claim.

    ``published`` is the published number, in words. ``word`` is REPLICATED, NOT_REPLICATED or UNDECIDED. ``found`` is
    the number of these runs with its interval, empty where there is none. ``reason`` says why, in sentences.
    """

    claim: str
    published: str
    data: str
    backbone: str
    terms: str
    word: str
    found: str
    reason: str


def verdicts(effects: Sequence[Effect], costs: Sequence[Cost], artifacts: Sequence[ArtifactLine]) -> list[Verdict]:
    """Verdicts on every claim that the runs can tell something about."""
    found = [*_on_errors(effects), *_on_cost(costs), *_on_artifacts(artifacts)]
    return sorted(found, key=lambda verdict: verdict.backbone != PUBLISHED_ON)


def _on_errors(effects: Sequence[Effect]) -> Iterator[Verdict]:
    own = [item for item in effects if item.arm == ARM and item.statistic == "mae" and item.prop in PUBLISHED_PERCENT]
    failed: dict[tuple[str, ...], list[str]] = {}
    for main in own:
        if main.reference != BASELINE:
            continue
        against = {item.reference: item for item in own if (item.place, item.prop) == (main.place, main.prop)}
        controls = {name: against[name] for name in OF_ITS_SIZE if name in against}
        on_mace = main.backbone == PUBLISHED_ON
        word, reason = judge(main, controls, needs_control=on_mace)
        low, high = PUBLISHED_PERCENT[main.prop]
        published = f"{low:+.0f} to {high:+.0f} %" if on_mace else "the same direction as on MACE"
        reason += f" {_against_published(main) if on_mace else _signs(main)}"
        if word == REPLICATED and main.p_holm > CONFIDENT_P:
            reason += f" After Holm's correction over the data sets p = {main.p_holm:.2g}."
        refuted = failed.setdefault((*main.place[1:], main.prop), [])
        if word == REPLICATED and main.data == ALL_DATA and refuted:  # they came before
            reason += f" Not replicated by itself on {', '.join(refuted)}."
        if word == NOT_REPLICATED:
            refuted.append(main.data)
        claim = f"lower {QUANTITIES[main.prop].noun} error"
        yield Verdict(claim, published, *main.place, word, shown_effect(main), reason)


def judge(main: Effect, controls: Mapping[str, Effect], *, needs_control: bool) -> tuple[str, str]:
    """Verdict and reason from the effect against baseline and those against the capacity controls that were run."""
    judged = {BASELINE: main, **controls}
    against = [name for name, effect in judged.items() if _enough(effect) and state(effect) == "no gain"]
    if BASELINE in against:
        return NOT_REPLICATED, f"A gain of {RELEVANT_GAIN:.0%} or more is excluded."
    if against:
        return NOT_REPLICATED, (
            f"Against {against[0]} a gain of {RELEVANT_GAIN:.0%} or more is excluded "
            f"({shown_effect(controls[against[0]])}): what gain there is does not come from the physics in the head."
        )
    doubts = [doubt for name, effect in judged.items() if (doubt := _doubt(name, effect, main))]
    if needs_control and NEEDED_CONTROL not in controls:
        doubts.append(f"no {NEEDED_CONTROL} to tell physics from added parameters")
    if doubts:
        return UNDECIDED, f"Because: {'; '.join(doubts)}."
    beaten = ", ".join(f"{name} ({shown_effect(effect)})" for name, effect in controls.items())
    return REPLICATED, f"It beats {beaten} as well." if beaten else "No control was run."


def state(effect: Effect) -> str:
    """``gain``: every interval lies below zero; ``no gain``: every interval excludes a relevant gain; else ``open``.

    Over data sets a gain also wants the exact sign-flip test below CONFIDENT_P.
    """
    if not effect.intervals:
        return "open"
    if all(low > math.log1p(-RELEVANT_GAIN) for low, _ in effect.intervals):
        return "no gain"
    significant = effect.data != ALL_DATA or effect.p_sign_flip < CONFIDENT_P
    return "gain" if significant and all(high < 0 for _, high in effect.intervals) else "open"


def _enough(effect: Effect) -> bool:
    return len(effect.seeds) >= NEEDED_SEEDS


def _doubt(name: str, effect: Effect, main: Effect) -> str | None:
    """Why an effect does not count as a gain; None where it does."""
    if not _enough(effect):
        return f"{len(effect.seeds)} of {NEEDED_SEEDS} seeds against {name}"
    if effect.data_sets < main.data_sets:
        return f"{name} ran on {effect.data_sets} of {main.data_sets} data sets"
    if state(effect) == "gain":
        return None
    if all(high < 0 for _, high in effect.intervals):
        return f"the exact sign-flip test against {name} gives p = {effect.p_sign_flip:.2g}"
    which = "interval" if effect.high >= 0 else "bootstrap interval (not the t interval)"
    return f"the {which} against {name} reaches above zero"


def _against_published(effect: Effect) -> str:
    low, high = PUBLISHED_PERCENT[effect.prop]
    change = percent(effect.mean)
    if math.isnan(effect.low):
        return "One seed has no interval to compare with the published range."
    reaches = percent(effect.low) <= high and percent(effect.high) >= low
    if reaches and effect.high >= 0:
        return "The interval holds zero and the published range: it cannot tell one from the other."
    if change > 0:
        return "Opposite in sign to the published effect."
    if low <= change <= high:
        return "Within the published range."
    size = "Larger" if change < low else "Smaller"
    return f"{size} than published; the interval {'reaches' if reaches else 'excludes'} the published range."


def _signs(effect: Effect) -> str:
    gains = sum(value < 0 for value in effect.log_ratios)
    p = "" if math.isnan(effect.p_sign) else f" (sign test p = {effect.p_sign:.2g})"
    return f"{gains} of {len(effect.log_ratios)} pairs gain{p}."


def _on_cost(costs: Sequence[Cost]) -> Iterator[Verdict]:
    for cost in costs:
        if cost.arm != ARM or math.isnan(cost.parameter_ratio):  # no run of baseline: nothing to compare with
            continue
        times = [
            f"{name} {100 * (ratio.value - 1):+.1f} % [{100 * (ratio.low - 1):+.1f}, {100 * (ratio.high - 1):+.1f}]"
            for name, ratio in (("inference", cost.inference), ("training step", cost.train))
            if not math.isnan(ratio.value)
        ]
        reason = f"Time, which is not claimed: {', '.join(times)}." if times else "Times were not measured."
        if math.isnan(cost.flops_ratio):
            word, found, reason = UNDECIDED, "", f"The operations were not counted, or not at one revision. {reason}"
        else:
            word = REPLICATED if cost.flops_ratio <= PUBLISHED_COST else NOT_REPLICATED
            found = f"{100 * (cost.flops_ratio - 1):+.1f} %"
        yield Verdict("few added operations", "about +5 %", *cost.place, word, found, reason)


def _on_artifacts(lines: Sequence[ArtifactLine]) -> Iterator[Verdict]:
    for place, material in dict.fromkeys((line.place, line.material) for line in lines):
        inside = [line for line in lines if (line.place, line.material) == (place, material)]
        for measure in all_measures():
            claim = measure.claim
            if claim is None:
                continue
            about = [line for line in inside if line.measure == measure.name and claim.counts(line.any_row)]
            sizes = [_artifact_size(about, claim, arm) for arm in (ARM, BASELINE)]
            seeds = sorted(sizes[0].keys() & sizes[1].keys())
            if not seeds:
                continue
            change = np.array([sizes[0][seed] - sizes[1][seed] for seed in seeds])
            word, found, reason = _judge_artifact(change)
            means = [np.mean([size[seed] for seed in seeds]) for size in sizes]
            reason = f"{claim.size}: {means[0]:.3g} with {ARM}, {means[1]:.3g} with baseline. {reason}".strip()
            yield Verdict(claim.text, "reduced", *place, word, found, reason)


def _artifact_size(lines: Sequence[ArtifactLine], claim: Claim, arm: str) -> dict[int, float]:
    """Size of an artifact by seed, from the rows that the claim is about."""
    values: dict[int, list[float]] = {}
    for line in lines:
        for seed, row in line.rows.get(arm, {}).items():
            size = getattr(row, claim.value)
            if math.isfinite(size):
                values.setdefault(seed, []).append(abs(size))
    return {seed: float(claim.over_rows(sizes)) for seed, sizes in values.items()}


def _judge_artifact(change: np.ndarray) -> tuple[str, str, str]:
    """Word, number and reason from the changes in size by seed."""
    mean, low, high, _ = t_test([change])
    count = f"{len(change)} seed{'s' if len(change) > 1 else ''}"
    found = f"{mean:+.2g}, {count}" if math.isnan(low) else f"{mean:+.2g} [{low:+.2g}, {high:+.2g}], {count}"
    if len(change) < NEEDED_SEEDS:
        return UNDECIDED, found, f"Because: {len(change)} of {NEEDED_SEEDS} seeds."
    if low >= 0:
        return NOT_REPLICATED, found, "A reduction is excluded."
    return (REPLICATED, found, "") if high < 0 else (UNDECIDED, found, "Because: the interval reaches above zero.")
