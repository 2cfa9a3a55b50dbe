"""summary.json, and what ends a run on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from scalarpath.core.metrics import labels_name, metric_name
from scalarpath.core.overrides import next_command
from scalarpath.core.quantities import QUANTITIES
from scalarpath.runs.job import Job
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.fit import FitResult

ROUNDING = 1e-6  # a trivial error smaller than this part of the test error is rounding


def parameter_counts(potential: Any) -> dict[str, int]:
    """Trainable numbers: total, backbone, head."""
    return {
        "parameters/total": _count(potential.parameters()),
        "parameters/backbone": _count(potential.backbone_parameters()),
        "parameters/head": _count(potential.head_parameters()),
    }


def build_summary(
    job: Job,
    potential: Any,
    result: FitResult,
    test: Mapping[str, float],
    trivial: Mapping[str, float],
    cost: Mapping[str, Any],
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """The flat dictionary of summary.json.

    ``test/...`` are the errors of the best epoch, ``trivial/...`` those of a predictor with one energy per element and
    no forces, ``cost`` FLOPs and the overhead of the head; ``record`` is the provenance with its hashes.
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
    for prefix, values in (("test", test), ("trivial", trivial)):
        summary |= {f"{prefix}/{key}": value for key, value in values.items()}
    hashes = {"hash/data": record["data_hash"], "hash/config": record["config_hash"]}
    return summary | {**cost, **parameter_counts(potential), **result.times, **hashes}


def print_summary(summary: Mapping[str, Any], directory: RunDirectory) -> None:
    """Show test errors, the overhead of the head, where all of it is, and how to go on."""
    console = Console()
    console.print(error_table(summary))
    if sentence := worse_than_trivial(summary):
        console.print(Text(sentence, style="bold red"))
    for line in (
        *_overhead(summary),
        f"Finished: {directory.path} (its numbers: summary.json)",
        f"Go on with: {next_command('evaluate', 'run', directory.path)}",
    ):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def error_table(summary: Mapping[str, Any], what: str = "Test errors") -> Table:
    """Test errors beside those of a trivial predictor, from the keys of summary.json."""
    table = Table(title=f"{what} of epoch {summary['best_epoch']} ({summary['backbone']} x {summary['head']})")
    for column in ("property", "MAE", "RMSE", "unit", "labels", "RMSE of trivial predictor"):
        table.add_column(column, justify="left" if column in ("property", "unit") else "right")
    for prop, quantity in QUANTITIES.items():
        mae, rmse = metric_name(prop, "mae"), metric_name(prop, "rmse")
        if f"test/{mae}" in summary:
            values = [f"{summary[key]:.4g}" for key in (f"test/{mae}", f"test/{rmse}")]
            trivial = f"{summary[f'trivial/{rmse}']:.4g}" if f"trivial/{rmse}" in summary else ""
            table.add_row(prop, *values, quantity.shown_unit, f"{summary[f'test/{labels_name(prop)}']:.0f}", trivial)
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
    return sum(p.numel() for p in parameters if p.requires_grad)
