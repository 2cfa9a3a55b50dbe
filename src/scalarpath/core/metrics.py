"""Metrics: what is computed from the errors of a quantity, what it is called, and which metrics a setting may name.

To add a metric, add a Statistic to the table. No torch is imported here: formulas use what tensors have themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from scalarpath.core.errors import ConfigError
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.settings import nearest


@dataclass(frozen=True)
class Statistic:
    """A number that sums up the errors of a quantity.

    ``terms`` are elementwise functions of the error (prediction minus label) and the label, both zero where there is no
    label; each is added up over all labels. ``value`` makes the number from ``factor`` (of the quantity, to its shown
    unit), the number of labels and the sums. ``has_unit``: whether it is in the unit of the quantity. ``only``: the
    quantities that have it; empty: all.
    """

    name: str
    terms: tuple[Callable[[Any, Any], Any], ...]
    value: Callable[..., float]
    has_unit: bool = True
    only: tuple[str, ...] = ()


_TABLE = (
    Statistic(
        "mae",
        terms=(lambda error, label: abs(error),),
        value=lambda factor, labels, absolute: factor * absolute / labels,
    ),
    Statistic(
        "rmse",
        terms=(lambda error, label: error**2,),
        value=lambda factor, labels, squared: factor * (squared / labels) ** 0.5,
    ),
)

STATISTICS = {statistic.name: statistic for statistic in _TABLE}
"""By name: those of an epoch and of a test set."""

FRAME_STATISTICS = STATISTICS | {
    "error": Statistic(
        "error", terms=(lambda error, label: error,), value=lambda factor, labels, total: factor * total / labels
    )
}
"""By name: those of a single structure, where the sign of an error tells something too."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = {TRAIN: "train_frames", VALIDATION: "valid_frames", TEST: "test"}
"""Parts of the data on which the weights of the best epoch are evaluated, with the prefix of their errors in
summary.json."""

ALL, ELEMENT, KIND = "all", "element", "config_type"
"""Groups of errors: of all frames, of the atoms of an element, of the frames with one value of this info key."""

ERRORS_FILE = "errors.json"
"""In the directory of a run: metrics by prefix of the part, kind of group and name of the group."""

ERROR_SIZES = tuple(statistic.name for statistic in _TABLE if statistic.has_unit)
"""The statistics that are sizes of errors in the unit of the quantity, which reports compare."""


def statistics_of(quantity: str) -> list[Statistic]:
    """The statistics that the quantity of this name has."""
    return [statistic for statistic in _TABLE if not statistic.only or quantity in statistic.only]


TERMS = tuple(term for statistic in _TABLE for term in statistic.terms)
"""What is added up over all labels, of errors and labels, for any of the statistics."""


def metrics_from_sums(quantity: str, sums: Sequence[float], labels: float) -> dict[str, float]:
    """Metrics of a quantity by name, and the number of labels, from the sums of TERMS; none without a label."""
    if labels == 0:
        return {}
    by_term = dict(zip(TERMS, sums, strict=True))
    factor = QUANTITIES[quantity].factor
    found = {
        metric_name(quantity, statistic.name): statistic.value(factor, labels, *(by_term[t] for t in statistic.terms))
        for statistic in statistics_of(quantity)
    }
    return {**found, labels_name(quantity): labels}


def metric_name(quantity: str, statistic: str = "mae") -> str:
    """Name of a metric in summary.json and metrics.csv, for example ``forces_mae_meV_A``."""
    unit = f"_{QUANTITIES[quantity].unit_in_names}" if FRAME_STATISTICS[statistic].has_unit else ""
    return f"{quantity}_{statistic}{unit}"


ENERGY_ABOUT_MEDIAN = "energy_mae_about_median_meV_atom"
"""Name of the energy MAE of ``about_median``."""


def about_median(errors: Sequence[float]) -> float:
    """Mean absolute deviation of errors (per structure) from their median: of energies with another zero."""
    middle = median(errors)
    return sum(abs(error - middle) for error in errors) / len(errors)


def labels_name(quantity: str) -> str:
    """Name of the number of labels behind the metrics of a quantity."""
    return f"{quantity}_labels"


def judged_part(summary: Mapping[str, Any]) -> str:
    """The part of the data by whose errors a run is judged: TEST, or VALIDATION while no test error was measured."""
    return TEST if any(key.startswith(f"{PARTS[TEST]}/") for key in summary) else VALIDATION


def closed_test_part(summary: Mapping[str, Any], evaluate_test: bool) -> bool:
    """Whether a run left its test part closed, by its setting ``evaluate_test``, and nothing has opened it since."""
    return not evaluate_test and judged_part(summary) != TEST


def logged_metrics(weighed: Collection[str]) -> dict[str, tuple[str, str] | None]:
    """Every metric that a setting may name, of a training whose loss weighs the quantities ``weighed``.

    The value is what the metric needs, as (part of the data, quantity): labels of the quantity in ``train`` or ``val``.
    Times (``time/...``) are left out: the first epochs may lack them, and they differ from run to run.
    """
    logged: dict[str, tuple[str, str] | None] = dict.fromkeys(("train/grad_norm_mean", "train/grad_norm_max", "lr"))
    # a training step does not compute derivatives that the loss does not weigh
    predicted = {"val": list(QUANTITIES), "train": [name for name in QUANTITIES if name in {"energy", *weighed}]}
    for part, names in predicted.items():
        logged[f"{part}/loss"] = None
        for name in names:
            metrics = [metric_name(name, statistic.name) for statistic in statistics_of(name)]
            metrics += [labels_name(name), *([f"loss_{name}"] if name in weighed else [])]
            logged |= dict.fromkeys([f"{part}/{metric}" for metric in metrics], (part, name))
    return logged


def check_monitor(
    setting: str,
    name: str,
    logged: Mapping[str, tuple[str, str] | None],
    labelled: Callable[[str, str], bool] = lambda part, quantity: True,
) -> None:
    """Check that the metric ``name``, which a setting of the name ``setting`` asks for, is one of ``logged``.

    ``labelled(part, quantity)`` tells, once data are read, whether a part of the data carries labels of a quantity.
    Raises ConfigError with the nearest name, or with the labels that are missing.
    """
    telling = [known for known in logged if known != "lr" and not known.endswith("_labels")]
    if name not in telling:
        wrong = "says nothing of how good a potential is" if name in logged else "is not logged in this run"
        choice = ", ".join(sorted(known for known in telling if known.startswith("val/")))
        raise ConfigError(f"{setting} = '{name}' {wrong}{nearest(name, telling)}; choose one of: {choice}.")
    needed = logged[name]
    if needed is not None and not labelled(*needed):
        frames = {"val": "validation", "train": "train"}[needed[0]]
        raise ConfigError(
            f"{setting} = '{name}' is not logged in this run, since no {frames} frame has a label of {needed[1]}; "
            "choose another metric, for example val/loss."
        )
