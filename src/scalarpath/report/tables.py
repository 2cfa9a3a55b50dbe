"""Tables of a report as text, the same for the page, the Markdown file and the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scalarpath.core.quantities import PRIMARY_FIRST, QUANTITIES, Quantity
from scalarpath.report.aggregate import Aggregate
from scalarpath.report.answers import Answer, Rank, ratio_change
from scalarpath.report.artifact_tables import artifact_tables
from scalarpath.report.breakdown_tables import breakdown_tables
from scalarpath.report.cells import BASELINE
from scalarpath.report.costs import Cost, Ratio
from scalarpath.report.effects import ALL_DATA, Effect, percent, shown_change, signed
from scalarpath.report.other_frames_table import other_frames_tables
from scalarpath.report.runs import mae_of
from scalarpath.report.table import UNKNOWN, Table, number, p_value
from scalarpath.report.training_tables import convergence_table, noise_table, part_tables

_COSTS = ("training step, %", "inference, %", "operations, %", "parameters, %")
_ALL_UNITS = ", ".join(quantity.shown_unit for quantity in PRIMARY_FIRST)


def tables(found: Aggregate) -> list[Table]:
    """All that have rows, in the order of reading."""
    effects = [effect for effect in found.effects if effect.statistic == "mae"]
    result = [noise_table(found), convergence_table(found)]
    for quantity in PRIMARY_FIRST:
        against = [effect for effect in effects if effect.prop == quantity.name and effect.reference == BASELINE]
        mae = mae_of(quantity.name, found.part)
        title = f"{mae[0].upper()}{mae[1:]} against baseline"
        result.append(_effect_table(title, against, quantity.shown_unit))
    controls = [effect for effect in effects if effect.reference != BASELINE]
    result += [
        _effect_table("Heads against their controls", controls, _ALL_UNITS),
        _gain_table(found),
        *part_tables(found),
        *breakdown_tables(found),
        *other_frames_tables(found),
        _cost_table(found.costs),
        *artifact_tables(found),
    ]
    return [table for table in result if table.rows]


def rank_table(answer: Answer) -> Table:
    """The arms of an answer, the best first, with what each of them gains and costs."""
    known = [quantity for quantity in PRIMARY_FIRST if any(quantity.name in rank.effects for rank in answer.ranks)]
    rows = []
    for rank in answer.ranks:
        cells = [
            change(rank.effects[quantity.name]) if quantity.name in rank.effects else _reference(answer, quantity)
            for quantity in known
        ]
        pairs = max((len(effect.log_ratios) for effect in rank.effects.values()), default=None)
        rows.append((rank.arm, *cells, *_costs_of(rank), UNKNOWN if pairs is None else str(pairs)))
    names = ["head", *(f"{quantity.noun} MAE, %" for quantity in known), *_COSTS, "pairs"]
    kept = [i for i, name in enumerate(names) if name not in _COSTS or any(row[i] != UNKNOWN for row in rows)]
    note = "Change against baseline in percent with its 95 % t interval, over pairs of equal seed; baseline: its MAE."
    if len(answer.ranks) > 2:
        note += " The first of several heads looks a little better than it is, because it was chosen by this number."
    columns = tuple(names[i] for i in kept)
    return Table("", columns, [tuple(row[i] for i in kept) for row in rows], ("head",), note)


def _reference(answer: Answer, quantity: Quantity) -> str:
    """What the changes are changes of: baseline's error, from the pairs of the best arm."""
    found = [rank.effects[quantity.name].reference_error for rank in answer.ranks if quantity.name in rank.effects]
    return quantity.shown(found[0]) if found and math.isfinite(found[0]) else "0"


def _costs_of(rank: Rank) -> list[str]:
    if rank.cost is None or rank.arm == BASELINE:
        return [UNKNOWN] * len(_COSTS)
    cost = rank.cost
    plain = [Ratio(value, math.nan, math.nan) for value in (cost.flops_ratio, cost.parameter_ratio)]
    return [ratio_change(ratio).replace(" %", "") or UNKNOWN for ratio in (cost.train, cost.inference, *plain)]


def change(effect: Effect) -> str:
    """Mean change in percent with its t interval, where there is one."""
    return shown_change(effect.mean, effect.low, effect.high, unit="")


def run_table(found: Aggregate) -> Table:
    """Every finished run with its errors."""
    names = tuple(quantity.name for quantity in PRIMARY_FIRST)
    columns = ("run", "data", "backbone", "arm", "seed", "epochs", *names, "revision")
    rows = [
        (
            str(run.path), run.data, run.backbone, run.arm, str(run.seed), str(run.summary.get("epochs", UNKNOWN)),
            *(number(run.error(prop)) for prop in names), run.revision,
        )
        for run in found.runs
    ]  # fmt: skip
    note = f"{found.part.capitalize()} MAE in {_ALL_UNITS}; revision of the program, + with local changes."
    return Table("Runs", columns, rows, ("run", "data", "backbone", "arm", "revision"), note)


def _effect_table(title: str, effects: Sequence[Effect], unit: str) -> Table:
    columns = (
        "data", "backbone", "comparison", "pairs", "reference MAE", "arm MAE", "change, %", "bootstrap, %", "p, t",
        "p, Holm", "p, sign flip", "p, Wilcoxon",
    )  # fmt: skip
    several = len({effect.prop for effect in effects}) > 1
    rows = [
        (
            effect.data, effect.model,
            _comparison(effect) + (f": {QUANTITIES[effect.prop].noun}" if several else ""),
            str(len(effect.log_ratios)), number(effect.reference_error), number(effect.arm_error), change(effect),
            _interval(effect.bootstrap_low, effect.bootstrap_high) or UNKNOWN,
            *map(p_value, (effect.p_t, effect.p_holm, effect.p_sign_flip, effect.p_wilcoxon)),
        )
        for effect in effects
    ]  # fmt: skip
    fewest = min((len(effect.log_ratios) for effect in effects), default=0)
    note = f"MAE in {unit}, means over pairs; change: mean log-ratio as a percentage, with its 95 % t interval."
    if 2 <= fewest <= 5:
        floor = 2.0 / 2**fewest
        note += (
            f" Sign flip and Wilcoxon cannot fall below {floor:.3g} with {fewest} pairs, however large the effect: "
            "alone they decide nothing."
        )
    if any(effect.data == ALL_DATA for effect in effects):
        note += (
            " Over all data sets: mean of the data sets' means; interval for these data sets with new seeds; signs are "
            "flipped within data sets."
        )
    return Table(title, columns, rows, ("data", "backbone", "comparison"), note)


def _gain_table(found: Aggregate) -> Table:
    """The numbers of the gain map, where a head pays."""
    known = [quantity for quantity in PRIMARY_FIRST if any(q.prop == quantity.name for q in found.effects)]
    columns = ("over", "at", "of", "head", *(f"{quantity.noun} MAE, %" for quantity in known), "pairs")
    rows = [
        (
            line.label, place if isinstance(place, str) else f"{place:,.6g}", line.name, line.arm,
            *(change(effects[q.name]) if q.name in effects else UNKNOWN for q in known),
            str(max(len(effect.log_ratios) for effect in effects.values())),
        )
        for line in found.gains for place, effects in line.points
    ]  # fmt: skip
    note = (
        f"Numbers of the gain map: change of the {found.part} MAE against baseline, with its 95 % t interval. Rows of "
        "one head, over one thing and of one name, differ in that thing alone."
    )
    return Table("Where a head pays", columns, rows, ("over", "at", "of", "head"), note)


def _comparison(effect: Effect) -> str:
    return effect.arm if effect.reference == BASELINE else f"{effect.arm} / {effect.reference}"


def _cost_table(costs: Sequence[Cost]) -> Table:
    columns = (
        "data", "backbone", "arm", "runs", "parameters", "ratio", "operations", "inference", "training step",
        "step, ms", "run, s",
    )  # fmt: skip
    rows = [
        (
            cost.data, cost.model, cost.arm, str(cost.runs), f"{cost.parameters:,.0f}",
            f"{cost.parameter_ratio:.3f}" if math.isfinite(cost.parameter_ratio) else UNKNOWN,
            f"{cost.flops_ratio:.3f}" if math.isfinite(cost.flops_ratio) else UNKNOWN,
            _ratio(cost.inference), _ratio(cost.train), number(cost.step_ms), number(cost.wall_s),
        )
        for cost in costs
    ]  # fmt: skip
    note = (
        "Ratios to baseline. Operations: matrix products of an inference. Inference and training step: interleaved "
        "with baseline in one process, median over runs, lowest to highest end of the runs' 95 % intervals. "
        "Milliseconds and seconds include whatever else the machine did."
    )
    return Table("Cost", columns, rows, ("data", "backbone", "arm"), note)


def _ratio(ratio: Ratio) -> str:
    if math.isnan(ratio.value):
        return UNKNOWN
    ends = "" if math.isnan(ratio.low) else f" [{ratio.low:.3f}, {ratio.high:.3f}]"
    return f"{ratio.value:.3f}{ends}"


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"[{signed(percent(low))}, {signed(percent(high))}]"
