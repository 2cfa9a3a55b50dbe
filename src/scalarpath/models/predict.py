"""What ``predict.py`` does: a file of structures with predictions, and errors where the structures carry labels."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from ase.io.extxyz import save_calc_results, write_xyz
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from scalarpath.core.errors import DataError
from scalarpath.core.files import prepare_new, put_in_place, removed_on_failure, write_json
from scalarpath.core.terminal import open_console
from scalarpath.data.labels import StreamedLabels
from scalarpath.data.paths import sources
from scalarpath.data.reading import Frame, read_frames
from scalarpath.deploy.committee import SPREAD, Committee
from scalarpath.models.prediction import OF_ATOMS, predicted
from scalarpath.models.selection import Selection
from scalarpath.models.settings import PredictSettings
from scalarpath.potential import Potential, load_potential
from scalarpath.runs.provenance import versions
from scalarpath.training.group_errors import GroupErrors, errors_table
from scalarpath.training.parity import ParitySample


def run(settings: PredictSettings) -> dict[str, Any]:
    """Write the predictions that ``settings`` ask for; returns the content of the file of errors.

    All files appear at the end, or none of them. Raises a ScalarPathError for anything the user can mend.
    """
    torch.set_num_threads(settings.threads)
    output = Path(settings.output)
    of_errors, figure = (output.with_name(f"{output.stem}_{name}") for name in ("errors.json", "parity.svg"))
    beside = [of_errors, figure, figure.with_suffix(".png")]
    prepare_new("output", output, beside)
    notes: list[str] = []
    files = sources(settings.path, notes, "path", labelled=False)
    potential = _potential(settings)
    labels = StreamedLabels(settings.data) if settings.errors else None
    errors, sample, count = GroupErrors(), ParitySample(), 0
    chosen = None if settings.select is None else Selection(settings.select)
    with removed_on_failure(*beside), put_in_place(output) as partial:
        frames = chain.from_iterable(read_frames(file, own or ":", notes) for file, own in files)
        batches = predicted(potential, frames, labels, max_edges=settings.max_edges, batch_size=settings.batch_size)
        with partial.open("w", encoding="utf-8") as stream, _progress() as progress:
            task = progress.add_task("", total=None)
            for batch in batches:
                for frame, values in batch.of_frames():
                    if chosen is None:
                        stream.write(_text(frame, values, settings.prefix))
                    else:
                        _offer(chosen, frame, values, settings.prefix)
                if labels is not None:
                    groups = [_group(frame, settings.group_key) for frame in batch.frames]
                    errors.update(batch.prediction, batch.batch, groups)
                    sample.update(batch.prediction, batch.batch)
                count += len(batch.frames)
                progress.update(task, completed=count)
            stream.writelines(chosen.texts() if chosen is not None else ())
        if labels is not None:
            labels.close()
        results = errors.results()
        content = {
            "model": settings.model,
            "path": settings.path,
            "output": settings.output,
            "frames": count,
            "select": settings.select,
            "labels": {} if labels is None else {name: key for name, key in labels.keys.items() if key is not None},
            "errors": results,
            "versions": versions(),
        }
        if results:
            write_json(of_errors, content)
            sample.draw(figure)
    said = f"{count} frames"
    if chosen is not None:
        said = f"of {said}, the {len(chosen.texts())} with the largest spread"
    _show(results, said, output, beside, notes)
    return content


def _potential(settings: PredictSettings) -> Potential | Committee:
    if not isinstance(settings.model, str):
        return Committee(settings.model, dtype=settings.dtype, device=settings.device, trust=settings.trust)
    potential = load_potential(settings.model, trust=settings.trust)
    return potential.copy_to(dtype=settings.dtype, device=settings.device).requires_grad_(False)


def _progress() -> Progress:
    columns = (SpinnerColumn(), MofNCompleteColumn(), TextColumn("frames"), TimeElapsedColumn())
    return Progress(*columns, console=open_console(), transient=True)


def _group(frame: Frame, key: str | None) -> tuple[str, str] | None:
    """Kind and name of the group of a frame; None where it has none."""
    return None if key is None or key not in frame.atoms.info else (key, str(frame.atoms.info[key]))


def _offer(chosen: Selection, frame: Frame, values: dict[str, np.ndarray], prefix: str) -> None:
    """Keep the frame for now, if it belongs to those whose most uncertain atom is the most uncertain."""
    place = {"file": frame.file, "frame": frame.number}
    chosen.offer(float(values[SPREAD["forces"]].max()), lambda: _text(frame, values, prefix, place))


def _text(frame: Frame, values: dict[str, np.ndarray], prefix: str, place: Mapping[str, Any] | None = None) -> str:
    """The frame as it was read, with the predictions and the place that it has as ``prefix_energy`` and the like."""
    atoms = frame.atoms.copy()
    results = getattr(frame.atoms.calc, "results", {})
    # what stands in two places, as in rows of databases, is one thing
    own = {key: value for key, value in results.items() if key not in atoms.info and key not in atoms.arrays}
    save_calc_results(atoms, SimpleNamespace(results=own), calc_prefix="")
    place = place or {}
    for key in (f"{prefix}_{name}" for name in (*values, *place)):
        if key in atoms.info or key in atoms.arrays:
            raise DataError(
                f"{frame.where}: '{key}' is there already; choose other names for the predictions with prefix=."
            )
    for name, value in values.items():
        if OF_ATOMS[name]:
            atoms.arrays[f"{prefix}_{name}"] = value
        elif np.isfinite(value).all():  # a structure that is not periodic has no stress
            # as plain numbers: a matrix would be written as JSON, which few readers know
            atoms.info[f"{prefix}_{name}"] = np.ravel(value) if np.ndim(value) else float(value)
    atoms.info |= {f"{prefix}_{name}": value for name, value in place.items()}
    text = StringIO()
    try:
        write_xyz(text, atoms, write_results=False)
    except (TypeError, ValueError, LookupError) as error:
        raise DataError(
            f"{frame.where}: what it carries cannot be written as extended XYZ ({error}); remove it from this frame."
        ) from error
    return text.getvalue()


def _show(results: dict[str, Any], frames: str, output: Path, beside: list[Path], notes: list[str]) -> None:
    console = open_console()
    for note in notes:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    if results:
        console.print(errors_table(results))
    said = f"Written: {output} ({frames})"
    said += f", {', '.join(path.name for path in beside)} beside it" if results else "; no labels, so no errors"
    console.print(said, highlight=False, markup=False, soft_wrap=True)
