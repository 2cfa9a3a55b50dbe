"""Whether the spread of a committee tells how large its errors are: both over the test frames of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from scipy.stats import spearmanr
from torch_geometric.data import Batch

from scalarpath.core.errors import ConfigError
from scalarpath.core.figures import MODEL, REFERENCE, STYLE, panels, save
from scalarpath.core.files import refuse_foreign, write_json
from scalarpath.core.quantities import QUANTITIES, Quantity
from scalarpath.core.terminal import add_columns, open_console
from scalarpath.deploy.committee import SPREAD, Committee
from scalarpath.evaluation.finished_run import FinishedRun
from scalarpath.evaluation.output import plain
from scalarpath.training.residuals import residual

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "calibration"
GROUPS = 10  # of equal size, sorted by spread, whose errors the figure shows


@dataclass(frozen=True)
class Calibration:
    """Of one quantity, over its labels; errors and spreads are root mean squares in the unit that is shown.

    labels: structures (energy) or atoms (forces); rank_correlation: Spearman's, of error with spread, NaN where either
    is the same everywhere; error_over_spread: 1 where errors are as large as the spread says, above 1 where they are
    larger.
    """

    labels: int
    error: float
    spread: float
    error_over_spread: float
    rank_correlation: float


def calibrate(found: FinishedRun, others: Sequence[FinishedRun], batches: Iterable[Batch], folder: Path) -> None:
    """Write calibration.json, .svg and .png of the committee of these runs into ``folder``, and show the table.

    batches: the test frames of ``found``, as graphs. Errors are those of the mean of all members; those of the forces
    on an atom, and their spread, are lengths of vectors.
    """
    target = folder / f"{NAME}.json"
    committee = Committee([run.potential for run in (found, *others)], device=found.potential.device)
    values = errors_and_spreads(committee, batches)
    numbers = {name: _calibration(QUANTITIES[name], *pair) for name, pair in values.items() if len(pair[0]) > 1}
    members = [run.directory.path.name for run in others]
    content = {**found.identity(), "committee": members, **{name: asdict(each) for name, each in numbers.items()}}
    write_json(target, plain(content))
    save(_figure({name: values[name] for name in numbers}), folder / NAME)
    open_console().print(_table(numbers), target, sep="\n", highlight=False, soft_wrap=True)


def read_members(found: FinishedRun, paths: Sequence[str], device: str, folder: Path) -> list[FinishedRun]:
    """The other runs of a committee, before anything is measured.

    Raises ConfigError where the test frames of ``found`` are no test for one of them, or where the results cannot be
    written; CheckpointError for a run that is not finished.
    """
    figures = [folder / f"{NAME}.{kind}" for kind in ("svg", "png")]
    refuse_foreign("output_dir", folder / f"{NAME}.json", lambda text: '"committee"' in text, figures)
    others = [FinishedRun.load(path, device, found.trust) for path in paths]
    test = set(found.directory.read_json("splits.json", ["test"])["test"])
    for path, other in zip(paths, others, strict=True):
        said = f"committee: {path}"
        if other.directory.path.resolve() == found.directory.path.resolve():
            raise ConfigError(f"{said} is run= itself; name the other runs.")
        if other.summary["hash/data"] != found.summary["hash/data"]:
            raise ConfigError(f"{said} was trained on other data than run=; name runs of the same data set.")
        splits = other.directory.read_json("splits.json", ["train", "valid"])
        if test & {*splits["train"], *splits["valid"]}:
            raise ConfigError(f"{said} has seen test frames of run=; name runs with the same data.split_seed.")
        if other.potential.cutoff > found.potential.cutoff:
            raise ConfigError(f"{said} has a longer cutoff than run=; name it as run=, and the other one here.")
        if other.is_closed:
            raise ConfigError(f"{said} has a closed test part; open it first: python evaluate.py run={path}.")
    return others


def errors_and_spreads(committee: Committee, batches: Iterable[Batch]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By quantity, the size of the error of the mean and the spread: energies per atom (eV), forces on atoms (eV/Å).

    Only for labels that are complete.
    """
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in SPREAD}
    for batch in batches:
        batch = batch.to(committee.device)
        prediction = committee(batch)
        for name, spread in SPREAD.items():
            difference, known, _ = residual(name, prediction, batch)
            rows = len(difference)
            complete = known.reshape(rows, -1).all(1)
            error = difference.reshape(rows, -1).norm(dim=1)
            parts[name].append((error[complete].cpu().numpy(), prediction[spread][complete].cpu().numpy()))
    return {
        name: (np.concatenate([e for e, _ in pairs]), np.concatenate([s for _, s in pairs]))
        for name, pairs in parts.items()
        if pairs
    }


def _calibration(quantity: Quantity, errors: np.ndarray, spreads: np.ndarray) -> Calibration:
    error, spread = (quantity.factor * float(np.sqrt(np.mean(values**2))) for values in (errors, spreads))
    differ = np.ptp(errors) > 0 and np.ptp(spreads) > 0
    rank = float(spearmanr(errors, spreads).statistic) if differ else np.nan
    return Calibration(len(errors), error, spread, error / spread if spread > 0 else np.nan, rank)


def _table(numbers: dict[str, Calibration]) -> Table:
    table = Table(title="Does the spread tell the error?", caption="root mean squares; 1 in error / spread is right")
    columns = ("quantity", "unit", "labels", "error", "spread", "error / spread", "rank correlation")
    add_columns(table, *columns, words=("quantity", "unit"))
    for name, found in numbers.items():
        values = (found.error, found.spread, found.error_over_spread, found.rank_correlation)
        table.add_row(name, QUANTITIES[name].shown_unit, str(found.labels), *(f"{value:.3g}" for value in values))
    return table


def _figure(values: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Every label as a point, and the root mean square error of groups of equal size, on a diagonal that is right."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure, axes = panels(1, max(1, len(values)))
        for axis, (name, (errors, spreads)) in zip(axes[0], values.items(), strict=False):
            quantity = QUANTITIES[name]
            errors, spreads = quantity.factor * errors, quantity.factor * spreads
            axis.scatter(spreads, errors, s=4, color=REFERENCE, alpha=0.3, linewidths=0, rasterized=len(errors) > 2000)
            groups = [group for group in np.array_split(np.argsort(spreads), GROUPS) if group.size]
            means = [[np.sqrt(np.mean(v[group] ** 2)) for group in groups] for v in (spreads, errors)]
            axis.plot(*means, "o-", color=MODEL, markersize=4)
            middle = means[0][len(groups) // 2]
            axis.axline((middle, middle), slope=1, color="0.6", linestyle="--", linewidth=0.8)
            axis.set(xscale="log", yscale="log", title=name)
            axis.set(xlabel=f"spread ({quantity.shown_unit})", ylabel=f"error ({quantity.shown_unit})")
    return figure
