"""What the comparison says: time to the peer's error, and errors at equal time and at equal epochs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.cost.accuracy.task import OWN

AIMS = {"mace": 30.0, "nequip": 20.0, "allegro": 20.0}
"""How many times faster scalarpath should reach the peer's final force error, by kind of backbone."""
AIM_AT_EQUAL_TIME, AIM_AT_EQUAL_EPOCHS = 0.5, 1.0
FORCES = metric_name("forces")
Result = Mapping[str, Any]


def statements(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One entry per backbone, recipe of the peer and recipe of scalarpath (numbers are None where nothing tells them).

    ``time_ratio``: processor time of the peer's whole training over the time after which scalarpath's validation force
    error was first at or below the peer's final one, in the quickest of its budgets; means over seeds. ``equal_time``:
    test errors over those of the peer, of the run with the most epochs that took no longer; ``equal_epochs``:
    the same of the run with as many epochs.
    """
    out = []
    groups = by_arm(results)
    for peer, theirs in groups.items():
        if peer[1] == OWN:
            continue
        recipes = dict.fromkeys(key[2] for key in groups if key[1] == OWN and key[0] == peer[0])
        for recipe in recipes:
            ours = {key[3]: found for key, found in groups.items() if key[:3] == (peer[0], OWN, recipe)}
            out.append(
                {
                    "backbone": peer[0], "peer": peer[1], "peer_recipe": peer[2], "recipe": recipe, "epochs": peer[3],
                    "aim": AIMS[theirs[0]["kind"]],
                    **_time(theirs, ours),
                    "equal_time": _at_equal_time(theirs, ours),
                    "equal_epochs": _ratios(theirs, ours.get(peer[3])),
                }
            )  # fmt: skip
    return out


def by_arm(results: Iterable[Result]) -> dict[tuple[str, str, str, int], list[Result]]:
    """Results that differ in the seed alone, by backbone, program, recipe and epochs."""
    groups: dict[tuple[str, str, str, int], list[Result]] = {}
    for result in results:
        arm = result["arm"]
        groups.setdefault((arm["backbone"], arm["program"], arm["recipe"], arm["epochs"]), []).append(result)
    return groups


def mean(results: Sequence[Result], *keys: str) -> float:
    """Mean over seeds of the number under ``keys``."""
    values = []
    for result in results:
        value: Any = result
        for key in keys:
            value = value[key]
        values.append(float(value))
    return statistics.fmean(values)


def start_up(curve: Sequence[Mapping[str, float]]) -> float:
    """Processor seconds before the first step: the time of the first epoch less that of an epoch (the median)."""
    times = [row["cpu_s"] for row in curve]
    steps = [b - a for a, b in pairwise(times)]
    return max(0.0, times[0] - statistics.median(steps)) if steps else 0.0


def _trained_s(results: Sequence[Result]) -> float:
    """Processor seconds to the end of training, which evaluations of the final model follow; the mean over seeds."""
    return statistics.fmean(result["curve"][-1]["cpu_s"] for result in results)


def _time(theirs: Sequence[Result], ours: Mapping[int, Sequence[Result]]) -> dict[str, float | None]:
    target = mean(theirs, "errors", "valid", FORCES)
    found: dict[str, list[float]] = {}
    for epochs, results in ours.items():
        reached = [_reached(result["curve"], target) for result in results]
        if all(reached):
            rows = [row for row in reached if row]
            seconds = statistics.fmean(row["cpu_s"] for row in rows)
            training = statistics.fmean(
                row["cpu_s"] - start_up(result["curve"]) for row, result in zip(rows, results, strict=True)
            )
            found[str(epochs)] = [seconds, training, statistics.fmean(row["epoch"] for row in rows)]
    if not found:
        return dict.fromkeys(("time_ratio", "time_ratio_training", "reached_s", "reached_epoch", "of_epochs"))
    epochs_, (seconds, training, epoch) = min(found.items(), key=lambda item: item[1][0])
    peer = _trained_s(theirs)
    peer_training = statistics.fmean(r["curve"][-1]["cpu_s"] - start_up(r["curve"]) for r in theirs)
    return {
        "time_ratio": peer / seconds,
        "time_ratio_training": peer_training / training,
        "reached_s": seconds,
        "reached_epoch": epoch,
        "of_epochs": float(epochs_),
    }


def _reached(curve: Sequence[Mapping[str, float]], target: float) -> Mapping[str, float] | None:
    return next((row for row in curve if row[FORCES] <= target), None)


def _at_equal_time(theirs: Sequence[Result], ours: Mapping[int, Sequence[Result]]) -> dict[str, float] | None:
    in_time = [epochs for epochs, results in ours.items() if _trained_s(results) <= _trained_s(theirs)]
    return _ratios(theirs, ours[max(in_time)]) if in_time else None


def _ratios(theirs: Sequence[Result], ours: Sequence[Result] | None) -> dict[str, float] | None:
    """Test errors of ours over theirs, by quantity; and the epochs and the share of their time that ours took."""
    if ours is None:
        return None
    names = {q: metric_name(q) for q in QUANTITIES}
    return {
        **{
            q: mean(ours, "errors", "test", key) / mean(theirs, "errors", "test", key)
            for q, key in names.items()
            if all(key in result["errors"]["test"] for result in (*ours, *theirs))
        },
        "epochs": float(ours[0]["arm"]["epochs"]),
        "share_of_time": _trained_s(ours) / _trained_s(theirs),
    }
