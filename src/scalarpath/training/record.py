"""What the tested weights do, kept in the run directory: errors by group, predictions of test frames, figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_xyz
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.files import put_in_place
from scalarpath.core.metrics import ALL, ELEMENT, ERRORS_FILE, KIND, PARTS, TEST, TRAIN, VALIDATION, metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.group_errors import GroupErrors, by_kind
from scalarpath.training.learning_curves import draw_learning_curves
from scalarpath.training.parity import ParitySample, draw_parity

if TYPE_CHECKING:
    from scalarpath.data.datamodule import AtomicDataModule

PREDICTIONS, FIGURES = "test_predictions.extxyz", ("parity", "learning_curves")
PREFIX = "scalarpath"  # of predictions in the file, as predict.py writes them
SHOWN = 20  # groups on the screen


class Record:
    """Takes what is predicted of every part. Use it within ``recording``.

    kinds: the config_type of every frame of the data set, or None; ``stream``: where predictions of test frames go,
    None where the test part stays closed.
    """

    def __init__(self, kinds: Sequence[str | None], stream: TextIO | None):
        self._kinds, self._stream = kinds, stream
        self._errors = {part: GroupErrors() for part in (TRAIN, VALIDATION, TEST)}
        self.pairs = {part: ParitySample() for part in self._errors}

    def update(self, part: str, prediction: Mapping[str, Tensor], batch: Batch) -> None:
        """Add one batch of a part."""
        kinds = [self._kinds[frame] for frame in batch.frame.tolist()]
        self._errors[part].update(prediction, batch, by_kind(kinds))
        self.pairs[part].update(prediction, batch)
        if part == TEST and self._stream is not None:
            for atoms in _structures(prediction, batch, kinds):
                write_xyz(self._stream, atoms)

    def errors(self) -> dict[str, Any]:
        """Metrics of every part that has labels: of ALL frames, by element and by config_type."""
        found = {PARTS[part]: errors.results() for part, errors in self._errors.items()}
        return {part: results for part, results in found.items() if results}


@contextmanager
def recording(directory: RunDirectory, data: AtomicDataModule, *, figures: bool, test: bool) -> Iterator[Record]:
    """A record whose files are in the run directory at the end of the block; ``test``: whether the test part is open.

    errors.json, test_predictions.extxyz and, with ``figures``, the figures FIGURES as SVG and PNG.
    """
    (directory.path / PREDICTIONS).unlink(missing_ok=True)  # of weights that more epochs have replaced
    if test:
        with put_in_place(directory.path / PREDICTIONS) as partial, partial.open("w", encoding="utf-8") as stream:
            yield (record := Record(data.kinds, stream))
    else:
        yield (record := Record(data.kinds, None))
    directory.write_json(ERRORS_FILE, record.errors())
    if figures:
        draw_parity(record.pairs, directory.path / "parity")
        draw_learning_curves(directory.path / "metrics.csv", directory.path / "learning_curves")


def _structures(prediction: Mapping[str, Tensor], batch: Batch, kinds: Sequence[str | None]) -> Iterator[Atoms]:
    """The structures of a batch with their labels, as results of a calculation, and predictions beside them."""
    of = {
        name: (prediction[name].detach().cpu().numpy(), getattr(batch, name).cpu().numpy())
        for name in QUANTITIES
        if name in prediction
    }
    ends = batch.ptr.tolist()
    for g, kind in enumerate(kinds):
        own = slice(ends[g], ends[g + 1])
        atoms = Atoms(
            batch.z[own].cpu().numpy(),
            batch.pos[own].cpu().numpy(),
            cell=batch.cell[g].cpu().numpy(),
            pbc=batch.pbc[g].cpu().numpy(),
        )
        atoms.info["frame"] = int(batch.frame[g])
        if kind is not None:
            atoms.info[KIND] = kind
        labels = {}
        for name, (predicted, label) in of.items():
            where = own if QUANTITIES[name].of_atoms else g
            if np.isfinite(label[where]).any():
                labels[name] = _plain(name, label[where])
            if QUANTITIES[name].of_atoms:
                atoms.arrays[f"{PREFIX}_{name}"] = predicted[where]
            elif np.isfinite(predicted[where]).all():  # a structure that is not periodic has no stress
                value = predicted[where]
                atoms.info[f"{PREFIX}_{name}"] = value.ravel() if value.ndim else float(value)
        atoms.calc = SinglePointCalculator(atoms, **labels)
        yield atoms


def _plain(name: str, label: np.ndarray) -> Any:
    """As calculators of ASE have it: the stress in Voigt's order."""
    if name != "stress":
        return label if label.ndim else float(label)
    return label.ravel()[[0, 4, 8, 5, 2, 1]]


def groups_table(errors: Mapping[str, Any]) -> Table | None:
    """MAE of train, validation and test by element and config_type; None where there is one group alone."""
    groups: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    for part, results in errors.items():
        for kind, names in results.items():
            if kind != ALL:
                for name, metrics in names.items():
                    groups.setdefault((kind, name), {})[part] = metrics
    if len(groups) - len({kind for kind, _ in groups}) < 1:
        return None
    words = {PARTS[TRAIN]: "train", PARTS[VALIDATION]: "valid", PARTS[TEST]: "test"}
    parts = [part for part in words if part in errors]
    shown = [name for name in QUANTITIES if any(metric_name(name) in m for g in groups.values() for m in g.values())]
    table = Table(title=f"MAE by group: {', '.join(words[part] for part in parts)}", box=SIMPLE_HEAD)
    table.add_column("of", overflow="ellipsis")
    for name in shown:
        table.add_column(f"{name}, {QUANTITIES[name].shown_unit}", justify="right", no_wrap=True)
    for (_, group), metrics in sorted(groups.items(), key=lambda item: (item[0][0] != ELEMENT, item[0]))[:SHOWN]:
        values = [[metrics.get(part, {}).get(metric_name(name)) for part in parts] for name in shown]
        table.add_row(escape(group), *map(_in_a_cell, values))
    if len(groups) > SHOWN:
        table.caption = f"{len(groups) - SHOWN} more are in {ERRORS_FILE}"
    return table


def _in_a_cell(values: Sequence[float | None]) -> str:
    if all(value is None for value in values):
        return ""
    numbers = [
        "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.{3 if value >= 1 else 2}g}"
        for value in values
    ]
    return " ".join(number.rjust(5) for number in numbers)


def flat(errors: Mapping[str, Any]) -> dict[str, float]:
    """Errors of groups under names such as ``test/element/Si/forces_mae_meV_A``, for dashboards."""
    return {
        f"{part}/{kind}/{name}/{metric}": value
        for part, results in errors.items()
        for kind, names in results.items()
        if kind != ALL
        for name, metrics in names.items()
        for metric, value in metrics.items()
    }


def figure_files(directory: Path) -> list[Path]:
    """The figures of a run that are there, as PNG."""
    return [file for name in FIGURES if (file := directory / f"{name}.png").exists()]
