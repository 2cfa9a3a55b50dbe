"""summary.json, and what ends a run on the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from rich.table import Table
from rich.text import Text
from torch import nn

from scalarpath.core.metrics import PARTS, TEST, TRAIN, VALIDATION, closed_test_part, labels_name, metric_name
from scalarpath.core.overrides import next_command
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import add_columns, open_console
from scalarpath.runs.job import Job
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.deciding_frame import FRAME, RATIO
from scalarpath.training.fit import FitResult

_COLUMNS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "train\nMAE": (PARTS[TRAIN], metric_name),
    "valid\nMAE": (PARTS[VALIDATION], metric_name),
    "test\nMAE": (PARTS[TEST], metric_name),
    "test\nRMSE": (PARTS[TEST], partial(metric_name, statistic="rmse")),
    "test\nlabels": (PARTS[TEST], labels_name),
    "trivial\nRMSE": ("trivial", partial(metric_name, statistic="rmse")),
}
ROUNDING = 1e-6  # a trivial error smaller than this part of the test error is rounding


def parameter_counts(potential: Any) -> dict[str, int]:
    """Parameters: total, backbone, head, and those that were frozen, if any."""
    counts = {
        "parameters/total": _count(potential.parameters()),
        "parameters/backbone": _count(potential.backbone_parameters()),
        "parameters/head": _count(potential.head_parameters()),
    }
    frozen = _count(p for p in potential.parameters() if not p.requires_grad)
    return {**counts, "parameters/frozen": frozen} if frozen else counts


def build_summary(
    job: Job,
    potential: Any,
    result: FitResult,
    errors: Mapping[str, float],
    cost: Mapping[str, Any],
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """The flat dictionary of summary.json.

    ``errors`` are those of the best epoch (``evaluation.errors_by_part``), ``cost`` FLOPs and the overhead of the head;
    ``record`` is the provenance with its hashes.
    A number that does not exist (no label, not measured) is absent.
    """
    config = job.config
    summary: dict[str, Any] = {
        "data": config["data"].get("name"),
        "backbone": config["backbone"].get("kind"),
        "head": config["head"].get("name"),
        "seed": job.seed,
        "dtype": job.dtype,
        "device": str(result.device),
        "stopped_by": result.stopped_by,
        "epochs": result.epochs,
        "steps": result.steps,
        "best_epoch": result.best_epoch,
        f"best/{job.callbacks.checkpoint.monitor}": result.best_value,
    }
    hashes = {"hash/data": record["data_hash"], "hash/config": record["config_hash"]}
    return summary | {**errors, **cost, **parameter_counts(potential), **result.times, **hashes}


def print_summary(
    summary: Mapping[str, Any], directory: RunDirectory, groups: Table | None = None, *, evaluate_test: bool
) -> None:
    """Show the errors, those of ``groups``, the overhead of the head, where all of it is, and how to go on.

    ``evaluate_test``: whether the job opens its test part, which may have no labels all the same.
    """
    console = open_console()
    console.print(error_table(summary))
    if groups is not None:
        console.print(groups)
    for sentence, style in ((worse_than_trivial(summary), "bold red"), (chosen_by_one_frame(summary), "yellow")):
        if sentence:
            console.print(Text(sentence, style=style))
    closed = closed_test_part(summary, evaluate_test)
    go_on = "The test part is closed; once, for a final claim, open it with" if closed else "Go on with"
    for line in (
        *_overhead(summary),
        f"Finished: {directory.path} (its numbers: summary.json)",
        f"{go_on}: {next_command('evaluate', 'run', directory.path)}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def error_table(summary: Mapping[str, Any]) -> Table:
    """Train, validation and test errors of the same weights, from the keys of summary.json; unknown ones are left out.

    Beside them stands what a predictor that has learned nothing has for an RMSE on test.
    """
    table = Table(title=f"Errors of epoch {summary['best_epoch']} ({summary['backbone']} x {summary['head']})")
    columns = {name: [f"{prefix}/{key(prop)}" for prop in QUANTITIES] for name, (prefix, key) in _COLUMNS.items()}
    known = {name: keys for name, keys in columns.items() if any(key in summary for key in keys)}
    add_columns(table, "property", "unit", *known, words=("property", "unit"))
    for row, (prop, quantity) in enumerate(QUANTITIES.items()):
        values = [summary.get(keys[row]) for keys in known.values()]
        if any(value is not None for value in values):
            shown = (
                "" if value is None else f"{value:.0f}" if "labels" in name or 1e4 <= value < 1e8 else f"{value:.4g}"
                for name, value in zip(known, values, strict=True)
            )
            table.add_row(prop, quantity.shown_unit, *shown)
    if "train_frames/evaluated" in summary:
        table.caption = f"train: {summary['train_frames/evaluated']} train frames, with the weights that are tested"
    return table


def worse_than_trivial(summary: Mapping[str, Any]) -> str | None:
    """A sentence on the quantities whose test RMSE is not below that of the trivial predictor; None if all are."""
    worse = []
    for name, quantity in QUANTITIES.items():
        key = metric_name(name, "rmse")
        test, trivial = summary.get(f"test/{key}"), summary.get(f"trivial/{key}")
        # labels that are all the same leave the trivial predictor nothing but rounding
        if test is not None and trivial is not None and test >= trivial > ROUNDING * test:
            worse.append(f"{name} ({test:.4g} instead of {trivial:.4g} {quantity.shown_unit})")
    if not worse:
        return None
    return (
        f"Nothing was learned about {' and '.join(worse)}: the test RMSE is no better than that of one energy per "
        "element, no forces and the mean stress. Train longer, or look at the units of the labels and at optimizer.lr."
    )


def chosen_by_one_frame(summary: Mapping[str, Any]) -> str | None:
    """A sentence where one validation frame alone has chosen an epoch before the last; else None."""
    if FRAME not in summary:
        return None
    return (
        f"Validation frame {summary[FRAME]} alone chose epoch {summary['best_epoch']} of {summary['epochs']}: over the "
        f"others, val/loss is {100 * (1 - summary[RATIO]):.0f} % smaller in the last epoch. Look at this frame. "
        "The last epoch is in checkpoints/last.ckpt; callbacks.checkpoint.tested=last tests it "
        "(docs/training.md#best-or-last-epoch)."
    )


def _overhead(summary: Mapping[str, Any]) -> Iterator[str]:
    """One line, where it was measured."""
    parts = []
    for name, key in (("training step", "train"), ("inference", "inference"), ("operations", "flops")):
        value, low, high = (summary.get(f"overhead/{key}_ratio{end}") for end in ("", "_low", "_high"))
        if value is not None:
            interval = "" if low is None else f" [{low:.2f}, {high:.2f}]"
            parts.append(f"{name} {value:.{2 if interval else 3}f}{interval}")
    if parts:
        yield f"Cost, ratio to baseline: {', '.join(parts)}"


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
