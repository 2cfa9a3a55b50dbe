"""What the head of a finished run has learned: panels, energies with and without its parts, one figure, one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from rich.table import Table
from torch_geometric.data import Batch

from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.pair_search import nearest_distances
from scalarpath.core.errors import ConfigError
from scalarpath.core.files import refuse_foreign, write_json
from scalarpath.core.terminal import add_columns, open_console
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.data.graph_file import GraphSet
from scalarpath.evaluation.benches import atoms_of, check_elements
from scalarpath.evaluation.finished_run import FinishedRun
from scalarpath.evaluation.head_figure import draw_panels
from scalarpath.evaluation.head_record import panels_of_head
from scalarpath.evaluation.linear_record import acting_charges, panels_of_linear
from scalarpath.evaluation.output import plain, prepare_folder
from scalarpath.evaluation.switched_off import INTERPLAY, Share, compressed, shares, switched_off
from scalarpath.graph import collate
from scalarpath.heads.panels import Curve
from scalarpath.potential import Potential
from scalarpath.runs.provenance import git_revision, versions

NAME = "head"
MOST_EDGES = 60_000
"""Directed edges of the train frames that are looked at, all in one batch."""


class Structure(NamedTuple):
    """What is compressed and stretched."""

    name: str
    atoms: Atoms

    @property
    def closest(self) -> float:
        """Shortest distance of two atoms, images included, in Å."""
        return float(nearest_distances(self.atoms.repeat(np.where(self.atoms.pbc, 2, 1))).min())


def explain(found: FinishedRun, beside: FinishedRun | None, item: Material | None, dtype: str, folder: Path) -> Path:
    """Write head.json, head.svg and head.png into ``folder`` and show the shares of the parts; returns the figure.

    beside: a run whose energies are drawn beside; item: what is compressed and stretched; None: the train frame of
    lowest energy. Raises ConfigError for a head without parts or a folder that cannot be written, ArtifactError for an
    item with elements that a run does not know.
    """
    potential = found.potential.copy_to(dtype=dtype, device=found.potential.device)
    if not potential.part_names:
        raise ConfigError(
            f"explain=true: head={found.summary['head']} of {found.directory.path} has no parts: every hook of the "
            "backbone is left as it is, so there is nothing to explain; choose a run with another head."
        )
    compared = {_label(found): potential}
    if beside is not None:
        label = f"{_label(beside)}, {beside.directory.path.name}" if _label(beside) in compared else _label(beside)
        compared[label] = beside.potential.copy_to(dtype=dtype, device=potential.device)
    if item is not None:
        for one in compared.values():
            check_elements(one, item)
    target = folder / f"{NAME}.json"
    drawn = [target.with_suffix(kind) for kind in (".svg", ".png")]
    refuse_foreign("output_dir", target, lambda text: "panels" in json.loads(text), drawn)
    prepare_folder(folder)
    graphs = _looked_at(found.read_data())
    batch = collate([graphs[i] for i in range(len(graphs))]).to(potential.device)
    off = switched_off(potential)
    charges = acting_charges(potential)
    rows = shares(potential, off, batch)
    structure = (
        _frame_of_lowest_energy(potential, batch, graphs) if item is None else Structure(item.name, item.smallest)
    )
    curves = compressed(*structure, structure.closest, compared, off)
    span = _trained(structure, graphs)
    panels = [*(replace(panel, span=span) for panel in curves), *panels_of_head(potential, batch)]
    panels += panels_of_linear(potential, batch)
    content = {
        **found.identity(),
        "versions": versions(),
        "git": git_revision(),
        "beside": None if beside is None else beside.identity(),
        "dtype": dtype,
        "train_frames": len(graphs),
        "shares": rows,
        "charges": charges,
        "panels": [replace(panel, curves=[_rounded(curve) for curve in panel.curves]) for panel in panels],
    }
    write_json(target, plain(content))
    draw_panels(panels, folder / NAME)
    said = [] if charges is None else [charges.render()]
    open_console().print(
        _table(rows, found, len(graphs)), *said, target, *drawn, sep="\n", highlight=False, soft_wrap=True
    )
    return drawn[1]


def _rounded(curve: Curve) -> Curve:
    """With six digits, which is more than a figure shows: a third of the file."""
    x, y, low, high = (
        None if values is None else [float(f"{value:.6g}") for value in values]
        for values in (curve.x, curve.y, curve.low, curve.high)
    )
    return replace(curve, x=x or [], y=y or [], low=low, high=high)


def _label(run: FinishedRun) -> str:
    return f"{run.summary['head']}, seed {run.summary['seed']}"


def _looked_at(data: AtomicDataModule) -> GraphSet:
    edges = data.train_graphs.sizes["edges"]
    return data.train_sample(max(1, int(MOST_EDGES / max(1.0, float(edges.mean())))))


def _frame_of_lowest_energy(potential: Potential, batch: Batch, graphs: GraphSet) -> Structure:
    """Per atom, E0s taken off."""
    with torch.no_grad():
        energy = (
            potential(batch, forces=False, stress=False)["node_energy"] - potential.e0[potential.species_of(batch.z)]
        )
    sums = energy.new_zeros(len(graphs)).index_add(0, batch.batch, energy)
    lowest = int((sums / torch.bincount(batch.batch)).argmin())
    return Structure(f"frame {int(graphs.frames[lowest])}", atoms_of(graphs[lowest]))


def _trained(structure: Structure, graphs: GraphSet) -> tuple[float, float] | None:
    """Shortest distances that the structure has at the lowest and the highest density of the frames, in Å."""
    frames = [atoms_of(graphs[i]) for i in range(len(graphs))]
    if not all(atoms.pbc.all() for atoms in (structure.atoms, *frames)):
        return None
    volumes = np.array([atoms.get_volume() / len(atoms) for atoms in frames])
    usual = structure.atoms.get_volume() / len(structure.atoms)
    distances = structure.closest * np.cbrt(volumes / usual)
    return float(distances.min()), float(distances.max())


def _table(rows: Sequence[Share], found: FinishedRun, frames: int) -> Table:
    title = f"What the parts of {_label(found)} add to {frames} train frames"
    caption = "with the part minus without it; share: sum of F' F over sum of F F, F' being the forces of the part"
    if any(row.part == INTERPLAY for row in rows):
        caption += "; interplay: what the single parts leave of all"
    table = Table(title=title, caption=caption)
    columns = ("energy, mean (meV/atom)", "energy, spread (meV/atom)", "forces, RMS (meV/Å)", "share of forces (%)")
    add_columns(table, "part", *columns, words=("part",))
    for row in rows:
        values = (row.energy_mean_meV_atom, row.energy_spread_meV_atom, row.forces_rms_meV_A, 100 * row.forces_share)
        table.add_row(row.part, *("–" if np.isnan(value) else f"{value:.4g}" for value in values))
    return table
