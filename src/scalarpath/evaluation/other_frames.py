"""Errors of a potential on labelled frames that its run never saw."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.core.files import refuse_foreign, write_json, write_text
from scalarpath.core.metrics import about_median
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import open_console
from scalarpath.data.batches import consecutive_batches
from scalarpath.data.cache import build_graphs, content_hash
from scalarpath.data.config import DataConfig
from scalarpath.data.labelled import read_labelled, stop_if_suspicious
from scalarpath.evaluation.finished_run import FinishedRun
from scalarpath.evaluation.output import prepare_folder
from scalarpath.graph import collate
from scalarpath.runs.job import absolute
from scalarpath.training.evaluation import evaluate
from scalarpath.training.frame_errors import FrameErrors
from scalarpath.training.group_errors import GroupErrors, by_kind, errors_table


def evaluate_frames(found: FinishedRun, file: str, labels: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Measure the errors of a run on all frames of ``file``, show them, and write them into ``folder``.

    labels: settings of ``data`` in which the file differs from the run's data. Writes frames_<file>.json and, with the
    errors of every frame, frames_<file>.csv; returns the content of the former. Raises DataError for frames without any
    label or with an element that the potential does not know, ConfigError where the results cannot be written.
    """
    path = _place(file)
    target = result_file(folder, file)
    _refuse_others(target, path)
    prepare_folder(folder)
    config = _config(found.job.config["data"], str(path), labels)
    loaded, labels_of_frames, audit = read_labelled(config)
    frames = loaded.frames
    if not any(label.has(name) for label in labels_of_frames for name in QUANTITIES):
        raise DataError(f"{path}: no frame carries a label; say what they are called, for example data.energy_key=.")
    for frame in frames:
        frame.require_known(found.potential.species, charged=found.potential.charged)
    console = open_console()
    console.print(audit.render())
    stop_if_suspicious(audit, config)
    data_hash = content_hash(frames, labels_of_frames)
    graphs = build_graphs(frames, labels_of_frames, range(len(frames)), found.job.cutoff, data_hash, None)

    def batches() -> Iterator[Batch]:
        for batch in consecutive_batches(graphs.sizes["edges"], config.max_edges, config.eval_batch_size):
            yield collate([graphs[i] for i in batch])

    frame_errors, group_errors = FrameErrors(), GroupErrors()

    def add_to_groups(prediction: Mapping[str, Tensor], batch: Batch) -> None:
        group_errors.update(prediction, batch, by_kind([frames[number].kind for number in batch.frame.tolist()]))

    errors = evaluate(found.potential, batches(), frame_errors.update, add_to_groups)
    groups = group_errors.results()
    content = {
        **found.identity(),
        "file": str(path),
        "frames": len(frames),
        "frames_hash": data_hash,
        **{f"frames/{name}": value for name, value in errors.items()},
        "errors": groups,
    }
    table = frame_errors.to_csv([frame.number for frame in frames], [frame.kind or "" for frame in frames])
    write_text(target.with_suffix(".csv"), table)
    write_json(target, content)
    title = f"Errors on {path.name} of epoch {content['best_epoch']} ({content['backbone']} x {content['head']})"
    console.print(errors_table(groups, title))
    if energies := frame_errors.energies:
        console.print(
            f"The median energy error is {median(energies):+.4g} meV/atom. Labels of another method have another zero "
            f"of energy: then the MAE about the median, {about_median(energies):.4g} meV/atom, is what counts.",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
    console.print(target, target.with_suffix(".csv"), sep="\n", highlight=False, soft_wrap=True)
    return content


def result_file(folder: Path, file: str) -> Path:
    """Where the errors on ``file`` are written."""
    return folder / f"frames_{_place(file).name}.json"


def _place(file: str) -> Path:
    return Path(absolute(file)).resolve()


def _config(run: Mapping[str, Any], path: str, labels: Mapping[str, Any]) -> DataConfig:
    """The settings with which the frames are read: the run's, but for the file and for ``labels``."""
    given = dict(labels)
    for one, other in (("stress_key", "virial_key"), ("virial_key", "stress_key")):
        if one in labels:
            given.setdefault(other, None)
    of_file = {"source": "file", "path": path, "valid_path": None, "test_path": None, "index": ":"}
    of_split = {"split": "random", "split_file": None, "group_key": None, "stratify_key": None}
    return DataConfig.read({**run, **of_file, **of_split, **given})


def _refuse_others(target: Path, path: Path) -> None:
    """Raise ConfigError where the results of another file are, or what is no result."""
    refuse_foreign("output_dir", target, lambda text: "frames_hash" in json.loads(text), [target.with_suffix(".csv")])
    if target.exists() and (there := json.loads(target.read_text(encoding="utf-8"))["file"]) != str(path):
        raise ConfigError(f"{target} holds the errors on {there}; choose another place with output_dir=.")
