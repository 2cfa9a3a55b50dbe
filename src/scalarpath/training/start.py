"""Training that starts from the weights in a file (``init_from``)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch_geometric.data import Batch

from scalarpath.core.errors import ConfigError
from scalarpath.core.model_file import file_of
from scalarpath.core.terminal import open_console
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.potential import Potential
from scalarpath.potential.starting import start_from
from scalarpath.runs.job import Job
from scalarpath.runs.ranks import is_first_process

MOST_FRAMES = 1000  # train frames to which E0s are fitted
AGREEMENT = 1e-3  # of the largest force of the first batch: far above rounding, far below another model


def kept_elements(source: Potential, job: Job, species: list[int]) -> list[int]:
    """Atomic numbers of a potential that starts from ``source``: ``species``, those of the data, and others to be kept.

    Raises ConfigError for an element that ``source`` does not know.
    """
    if job.init_elements == "data":
        return species
    named = {chemical_symbols[z]: z for z in source.species}
    wanted = list(named) if job.init_elements == "all" else job.init_elements
    if unknown := [symbol for symbol in wanted if symbol not in named]:
        raise ConfigError(f"init_elements: {job.init_from} knows no {unknown[0]}; leave it out.")
    return sorted({*species, *(named[symbol] for symbol in wanted)})


def start(potential: Potential, source: Potential, data: AtomicDataModule, job: Job) -> dict[str, Any]:
    """Give ``potential`` the weights of ``source``, the file ``job.init_from``; say what was done, and return it.

    Energies and forces are then those of the file, but for a constant per element with ``init_e0s=fit``. Raises
    ConfigError for a file of another network.
    """
    where, file = f"init_from={job.init_from}", Path(str(job.init_from))
    start_from(potential, source, where)
    _check(potential, source, next(iter(data.in_order(data.train_graphs))), where)
    fitted = {}
    if job.init_e0s == "fit":
        fitted = fit_e0s(potential, data.in_order(data.sample_to_fit(MOST_FRAMES)))
    with file_of(file).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    record = {
        "sha256": digest,
        "elements_of_file": len(source.species),
        "elements": [chemical_symbols[z] for z in potential.species],
        "e0_changes_eV": {chemical_symbols[z]: change for z, change in fitted.items()},
    }
    if is_first_process():
        open_console().print(_said(file, record), highlight=False, soft_wrap=True)
    return record


@torch.no_grad()
def fit_e0s(potential: Potential, batches: Iterable[Batch]) -> dict[int, float]:
    """Add the constant per element to the E0s that fits the energies best (least squares); returns it by atomic number.

    Frames without energy are left out. Where compositions cannot tell elements apart it is the smallest such change.
    """
    counts, left = [], []
    for batch in batches:
        energy = potential(batch.to(potential.device), forces=False, stress=False)["energy"]
        number = torch.zeros(len(energy), len(potential.species), dtype=torch.float64, device=energy.device)
        ones = torch.ones(len(batch.z), dtype=torch.float64, device=energy.device)
        number.index_put_((batch.batch, potential.species_of(batch.z)), ones, accumulate=True)
        known = torch.isfinite(batch.energy)
        counts.append(number[known].cpu())
        left.append((batch.energy - energy)[known].cpu())
    number, rest = torch.cat(counts), torch.cat(left)
    weight = number.sum(1).rsqrt()  # as E0s without a file are fitted (data/e0s.py)
    fit = torch.linalg.lstsq(number * weight[:, None], (rest * weight)[:, None], driver="gelsd")
    changes = fit.solution.squeeze(1) if len(rest) else torch.zeros(len(potential.species), dtype=torch.float64)
    potential.e0.add_(changes.to(potential.e0.device))
    return dict(zip(potential.species, changes.tolist(), strict=True))


def _check(potential: Potential, source: Potential, batch: Batch, where: str) -> None:
    """Raise ConfigError where the weights of ``source`` do not make the same forces here."""
    ours, theirs = (each.eval()(batch.to(each.device))["forces"].detach() for each in (potential, source))
    if not (ours - theirs).abs().max() <= AGREEMENT * theirs.abs().max() + 1e-6:
        raise ConfigError(f"{where}: its weights give other forces in this network; start from a file of this version.")


def _said(file: Path, record: dict[str, Any]) -> str:
    here, there = record["elements"], record["elements_of_file"]
    kept = f"all {there} elements kept" if len(here) == there else f"{there} elements cut down to {', '.join(here)}"
    changed = {symbol: change for symbol, change in record["e0_changes_eV"].items() if change}
    changes = ", ".join(f"{symbol} {change:+.4f}" for symbol, change in changed.items())
    e0s = f"fitted to the train energies: {changes} eV" if changes else "as there"
    return f"Starts from {file}, {kept}; scale, shift and mean degree as there; E0s {e0s}."
