"""The frames of all three parts, as files that every program reads: the same frames and labels for all."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from scalarpath.core.errors import DataError
from scalarpath.core.files import write_text
from scalarpath.core.metrics import metric_name
from scalarpath.core.quantities import QUANTITIES
from scalarpath.data.cache import content_hash
from scalarpath.data.config import DataConfig
from scalarpath.data.e0s import isolated_atom_frames
from scalarpath.data.labelled import read_labelled, stop_if_suspicious
from scalarpath.data.labels import Labels
from scalarpath.data.reading import Frame
from scalarpath.data.splits import split_frames

KEYS = {"energy": "REF_energy", "forces": "REF_forces", "stress": "REF_stress"}
"""The names of the labels in the files."""


@dataclass(frozen=True)
class Parts:
    """Files and sizes of train, valid and test, the quantities with labels, and a hash of everything in them."""

    files: Mapping[str, Path]
    sizes: Mapping[str, int]
    quantities: tuple[str, ...]
    symbols: tuple[str, ...]
    hash: str


def write_parts(config: DataConfig, cutoff: float, folder: Path) -> Parts:
    """Split a data set as a training does and write its parts to ``folder`` as extended XYZ.

    Raises DataError for a frame without energy or forces, or where only some frames have a stress: the programs treat
    missing labels differently.
    """
    loaded, labels, audit = read_labelled(config)
    stop_if_suspicious(audit, config)
    frames = loaded.frames
    splits, _ = split_frames(config, loaded, isolated_atom_frames(frames, cutoff))
    used = sorted(i for indices in splits.values() for i in indices)
    quantities = _quantities([frames[i] for i in used], [labels[i] for i in used])
    folder.mkdir(parents=True, exist_ok=True)
    files = {part: (folder / f"{part}.xyz").absolute() for part in splits}
    for part, indices in splits.items():
        text = io.StringIO()
        ase.io.write(text, [_labelled(frames[i].atoms, labels[i], quantities) for i in indices], format="extxyz")
        write_text(files[part], text.getvalue())
    return Parts(
        files,
        {part: len(indices) for part, indices in splits.items()},
        quantities,
        tuple(sorted({symbol for i in used for symbol in frames[i].atoms.get_chemical_symbols()})),
        content_hash(frames, labels),
    )


def mean_errors(reference: Path, predicted: Sequence[Mapping[str, Any]], quantities: Sequence[str]) -> dict[str, float]:
    """MAEs of ``predicted`` (energy in eV, forces [N, 3], stress [3, 3] of every frame) on the file ``reference``."""
    frames = ase.io.read(reference, index=":")
    errors: dict[str, list[np.ndarray]] = {name: [] for name in quantities}
    for atoms, prediction in zip(frames, predicted, strict=True):
        for name, found in errors.items():
            label = atoms.arrays[KEYS[name]] if QUANTITIES[name].of_atoms else atoms.info[KEYS[name]]
            error = np.abs(np.asarray(prediction[name]).reshape(np.shape(label)) - np.asarray(label))
            found.append(np.ravel(error / len(atoms) if QUANTITIES[name].per_atom else error))
    return {
        metric_name(name): float(QUANTITIES[name].factor * np.concatenate(found).mean())
        for name, found in errors.items()
    }


def _quantities(frames: Sequence[Frame], labels: Sequence[Labels]) -> tuple[str, ...]:
    for name in ("energy", "forces"):
        for frame, label in zip(frames, labels, strict=True):
            if not np.isfinite(label.of(name)).all():
                raise DataError(f"{frame.where}: has no complete label of {name}, which suite=accuracy needs.")
    stressed = [bool(np.isfinite(label.stress).all()) for label in labels]
    if any(stressed) and not all(stressed):
        without = frames[stressed.index(False)]
        raise DataError(f"{without.where}: has no stress, but others have; suite=accuracy needs it in all or in none.")
    return ("energy", "forces", "stress") if all(stressed) else ("energy", "forces")


def _labelled(atoms: Atoms, label: Labels, quantities: Sequence[str]) -> Atoms:
    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    for name in quantities:
        place: Any = plain.arrays if QUANTITIES[name].of_atoms else plain.info
        place[KEYS[name]] = np.asarray(label.of(name)) if QUANTITIES[name].shape else float(label.of(name))
    return plain
