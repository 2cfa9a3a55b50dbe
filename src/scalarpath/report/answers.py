"""Which head is best here, by how much, how sure, at what cost: the answer of a report, for any data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.cells import BASELINE, Cell, Placed
from scalarpath.report.changes import change_between
from scalarpath.report.costs import Cost, Ratio
from scalarpath.report.effects import ALL_DATA, NEEDED_SEEDS, Effect, shown_change, shown_effect
from scalarpath.report.runs import Run, mae_of

BETTER, NO_HEAD, UNDECIDED = "better than baseline", "no head is better", "undecided"
_MOST_RIVALS = 3  # named in a sentence


@dataclass(frozen=True)
class Rank:
    """One arm in the order of the answer: ``effects`` against baseline by quantity (none for baseline itself)."""

    arm: str
    effects: dict[str, Effect]
    cost: Cost | None


@dataclass(frozen=True)
class Answer(Placed):
    """The answer for one cell, or for ALL_DATA of the cells with equal backbone and terms.

    ``word`` is BETTER, NO_HEAD or UNDECIDED. ``headline`` names the best arm and by how much, ``reasons`` say how sure
    that is and what it costs, in sentences. ``ranks`` are the arms, the best first.
    """

    data: str
    backbone: str
    terms: str
    word: str
    headline: str
    reasons: tuple[str, ...]
    ranks: tuple[Rank, ...]


def answers(cells: Sequence[Cell], effects: Sequence[Effect], costs: Sequence[Cost]) -> list[Answer]:
    """One answer per cell, after those over all data sets on equal terms; arms of cells and effects are in order.

    Of the cells of one backbone those on the largest terms come first: they tell least of who trains faster.
    """
    chosen = [effect for effect in effects if effect.statistic == "mae"]
    found = []
    ladders = [[cell for cell in cells if cell.place[:2] == key] for key in dict.fromkeys(c.place[:2] for c in cells)]
    for terms in dict.fromkeys(cell.place[1:] for ladder in ladders for cell in reversed(ladder)):
        inside = [cell for cell in cells if cell.place[1:] == terms]
        pooled = [effect for effect in chosen if effect.place == (ALL_DATA, *terms)]
        if pooled:
            found.append(_answer(ALL_DATA, inside, pooled, []))
        for cell in inside:
            own = [effect for effect in chosen if effect.place == cell.place]
            found.append(_answer(cell.data, [cell], own, [cost for cost in costs if cost.place == cell.place]))
    return found


def _answer(data: str, cells: Sequence[Cell], effects: Sequence[Effect], costs: Sequence[Cost]) -> Answer:
    against = [effect for effect in effects if effect.reference == BASELINE]
    prop = next((quantity.name for quantity in PRIMARY_FIRST if any(e.prop == quantity.name for e in against)), None)
    if prop is None:
        return Answer(data, *cells[0].place[1:], UNDECIDED, *_nothing_to_compare(cells[0]), ())
    gains = {effect.arm: effect.mean for effect in against if effect.prop == prop}
    arms = sorted([BASELINE, *gains], key=lambda arm: gains.get(arm, 0.0))
    ranks = [
        Rank(
            arm,
            {effect.prop: effect for effect in against if effect.arm == arm},
            next((cost for cost in costs if cost.arm == arm), None),
        )
        for arm in arms
    ]
    word, headline, reasons = (_for_baseline if arms[0] == BASELINE else _for_head)(ranks, prop, cells)
    reasons += [*_other_quantities(ranks, prop), *_cost(ranks[0])]
    return Answer(data, *cells[0].place[1:], word, headline, tuple(reasons), tuple(ranks))


def _nothing_to_compare(cell: Cell) -> tuple[str, tuple[str, ...]]:
    if len(cell.arms) == 1:
        return f"Only {next(iter(cell.arms))} was run.", ("With baseline and the same seeds it can be compared.",)
    if BASELINE not in cell.arms:
        return "Heads were run without baseline.", ("Train head=baseline with the same seeds to compare them.",)
    return "No head shares a seed with baseline.", ("Train the missing seeds to compare them.",)


def _for_head(ranks: Sequence[Rank], prop: str, cells: Sequence[Cell]) -> tuple[str, str, list[str]]:
    best, effect = ranks[0].arm, ranks[0].effects[prop]
    headline = f"{best} has the lowest {mae_of(prop, effect.part)}; against baseline: {shown_effect(effect)}."
    doubts = list(_doubts(effect))
    if doubts:
        return UNDECIDED, headline, [f"Not sure that it is better than baseline: {'; '.join(doubts)}."]
    reasons = [f"Sure against baseline: every 95 % interval lies below zero, with {len(effect.seeds)} seeds."]
    rivals = []
    for rank in ranks[1:]:
        if rank.arm == BASELINE:
            continue
        mean, low, high = change_between(cells, (best, rank.arm), partial(Run.error, prop=prop))
        if not high < 0:
            change = "no common seed" if math.isnan(mean) else f"{shown_change(mean, low, high)} against it"
            rivals.append(f"{rank.arm} ({change})")
    if rivals:
        more = f" and {len(rivals) - _MOST_RIVALS} more" if len(rivals) > _MOST_RIVALS else ""
        reasons.append(f"Not told apart from {', '.join(rivals[:_MOST_RIVALS])}{more}: take the cheapest.")
    elif len(ranks) > 2:
        reasons.append("Sure against every other head that was run, each with its own 95 % interval.")
    return BETTER, headline, reasons


def _for_baseline(ranks: Sequence[Rank], prop: str, cells: Sequence[Cell]) -> tuple[str, str, list[str]]:
    second = ranks[1]
    mae = mae_of(prop, second.effects[prop].part)
    shown = shown_effect(second.effects[prop])
    headline = f"No head has a lower {mae} than baseline; next is {second.arm}: {shown}."
    few = min(len(rank.effects[prop].seeds) for rank in ranks[1:])
    open_ = [rank.arm for rank in ranks[1:] if not rank.effects[prop].low > 0]
    doubts = [f"{few} of {NEEDED_SEEDS} seeds"] if few < NEEDED_SEEDS else []
    doubts += [f"the interval of {', '.join(open_)} reaches below zero"] if open_ else []
    if doubts:
        return UNDECIDED, headline, [f"Not sure: {'; '.join(doubts)}."]
    return NO_HEAD, headline, ["Sure: every 95 % interval lies above zero."]


def _doubts(effect: Effect) -> Iterator[str]:
    if len(effect.seeds) < NEEDED_SEEDS:
        yield f"{len(effect.seeds)} of {NEEDED_SEEDS} seeds"
    if any(high >= 0 for _, high in effect.intervals):
        which = "interval" if effect.high >= 0 else "bootstrap interval (resampled test frames)"
        yield f"the {which} reaches above zero"


def _other_quantities(ranks: Sequence[Rank], prop: str) -> Iterator[str]:
    """Where another arm comes first by another quantity."""
    for quantity in PRIMARY_FIRST:
        known = [rank.effects[quantity.name] for rank in ranks if quantity.name in rank.effects]
        if quantity.name == prop or not known:
            continue
        first = min(known, key=lambda effect: effect.mean)
        name = first.arm if first.mean < 0 else BASELINE
        if name != ranks[0].arm:
            tail = f": {shown_effect(first)}" if name == first.arm else ""
            yield f"By {mae_of(first.prop, first.part)} {name} comes first{tail}."


def _cost(rank: Rank) -> Iterator[str]:
    if rank.arm == BASELINE or rank.cost is None:
        return
    cost = rank.cost
    parts = [
        f"{name} {text}"
        for name, text in (
            ("training step", ratio_change(cost.train)), ("inference", ratio_change(cost.inference)),
            ("operations", ratio_change(Ratio(cost.flops_ratio, math.nan, math.nan))),
            ("parameters", ratio_change(Ratio(cost.parameter_ratio, math.nan, math.nan))),
        )
        if text
    ]  # fmt: skip
    yield f"It costs, against baseline: {', '.join(parts)}." if parts else "Its cost was not measured."


def ratio_change(ratio: Ratio) -> str:
    """A ratio to baseline as a change in percent with its interval; empty where it is unknown."""
    if math.isnan(ratio.value):
        return ""
    ends = "" if math.isnan(ratio.low) else f" [{100 * (ratio.low - 1):+.1f}, {100 * (ratio.high - 1):+.1f}]"
    return f"{100 * (ratio.value - 1):+.1f} %{ends}"
