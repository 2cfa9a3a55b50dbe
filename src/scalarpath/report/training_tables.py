"""Tables on what comes before any comparison: noise, convergence, errors on train and test frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from scalarpath.core.metrics import PARTS, TRAIN
from scalarpath.core.quantities import PRIMARY_FIRST, QUANTITIES
from scalarpath.report.effects import shown_change
from scalarpath.report.ladders import SMALL_GAIN, Doubling
from scalarpath.report.noise import FEWEST_SEEDS, PLANNED_EFFECT, gain, variation
from scalarpath.report.power import MOST_SEEDS, POWER
from scalarpath.report.runs import listed, parts_shown
from scalarpath.report.table import UNKNOWN, Table, number

if TYPE_CHECKING:
    from scalarpath.report.aggregate import Aggregate


def noise_table(found: Aggregate) -> Table:
    """How much errors vary between seeds, and what can be seen."""
    columns = (
        "data", "backbone", "MAE of", "baseline runs", "varies by, %", "pairs", "ratio varies by, %",
        f"gain seen with {100 * POWER:.0f} % power, %", f"seeds for a gain of {100 * PLANNED_EFFECT:.0f} %",
    )  # fmt: skip
    rows = [
        (
            noise.data, noise.model, QUANTITIES[noise.prop].noun, str(noise.seeds), _percent(noise.deviation),
            str(noise.pairs), _percent(noise.pair_deviation),
            UNKNOWN if math.isnan(noise.smallest) else f"{gain(noise.smallest):.1f}",
            _seeds(noise.needed, noise.pair_deviation),
        )
        for noise in found.noise
    ]  # fmt: skip
    note = (
        f"Varies by: coefficient of variation of the {found.part} MAE between seeds, and of its ratio to a head "
        f"of the same seed, from all heads together; {UNKNOWN}: fewer than {FEWEST_SEEDS} seeds, so the noise is not "
        "known. Power: of a two-sided paired t test of log-ratios at 5 %. With few seeds these numbers are rough "
        "themselves."
    )
    return Table("Noise between seeds, and what can be seen", columns, rows, ("data", "backbone", "MAE of"), note)


def _percent(deviation: float) -> str:
    return UNKNOWN if math.isnan(deviation) else f"{variation(deviation):.1f}"


def _seeds(needed: int | None, deviation: float) -> str:
    if math.isnan(deviation):
        return UNKNOWN
    return f">{MOST_SEEDS}" if needed is None else str(needed)


def convergence_table(found: Aggregate) -> Table:
    """What the last doubling of the budget brought every arm."""
    since = f"less than {100 * SMALL_GAIN:.0f} % from, steps"
    columns = (
        "data",
        "backbone",
        "head",
        "MAE of",
        since,
        "last doubling, steps",
        *(f"{part}, %" for part in parts_shown(found.part)),
        "seeds",
    )
    rows = [
        (
            item.data, item.model, item.arm, QUANTITIES[item.prop].noun,
            "not reached" if item.since is None else f"{item.since:,.0f}",
            f"{item.last[item.part].start:,.0f} to {item.last[item.part].end:,.0f}",
            *(_doubling(item.last, part) for part in parts_shown(item.part)), str(item.last[item.part].seeds),
        )
        for item in found.convergence
    ]  # fmt: skip
    note = (
        f"Change of the MAE on {listed(parts_shown(found.part))} frames by the last doubling of the budget, with its "
        "95 % t interval over seeds; every budget is a training of its own. Less than "
        f"{100 * SMALL_GAIN:.0f} % from: the budget from which on every doubling lowers the {found.part} MAE by less "
        "than that."
    )
    text = ("data", "backbone", "head", "MAE of", since, "last doubling, steps")
    return Table("Is it converged?", columns, rows, text, note)


def _doubling(last: Mapping[str, Doubling], part: str) -> str:
    if part not in last:
        return UNKNOWN
    return shown_change(last[part].mean, last[part].low, last[part].high, unit="")


def part_tables(found: Aggregate) -> Iterator[Table]:
    """Errors on train, validation and test frames, a table per quantity; development shows none of test."""
    shown = parts_shown(found.part)
    last = shown[-1]
    columns = ("data", "backbone", "head", *shown, f"{last} / train", *(f"{part}: change, %" for part in shown))
    for quantity in PRIMARY_FIRST:
        rows = [
            (
                item.data, item.model, item.arm, *(number(item.errors[part]) for part in shown),
                UNKNOWN if math.isnan(item.gap) else f"{item.gap:.2f}",
                *(shown_change(*item.changes[part], unit="") for part in shown),
            )
            for item in found.parts if item.prop == quantity.name
        ]  # fmt: skip
        note = (
            f"MAE in {quantity.shown_unit} of the same weights, means over seeds; change against baseline with its "
            "95 % t interval over pairs of equal seed. A train error that more steps still lower is what optimisation "
            f"leaves, and one that only a larger network lowers is what capacity leaves. What the {last} error is "
            f"above the train error is what generalisation costs: more frames lower it.{_sampled(found)}"
        )
        title = f"{quantity.noun.capitalize()} MAE on {listed(shown)} frames"
        yield Table(title, columns, rows, ("data", "backbone", "head"), note)


def _sampled(found: Aggregate) -> str:
    """Where the train errors are not of all train frames."""
    counts = [(run.number(f"{PARTS[TRAIN]}/evaluated"), len(run.splits["train"])) for run in found.runs]
    some = sorted({evaluated for evaluated, frames in counts if evaluated < frames})
    return f" Train errors are of {', '.join(f'{n:.0f}' for n in some)} of the train frames." if some else ""
