"""A first look at anybody's frames: what there is of each element and kind, distances, volumes, forces, what to set."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from rich.table import Table

from scalarpath.core.figures import SERIES, STYLE, panels, save
from scalarpath.core.files import prepare_place, refuse_foreign
from scalarpath.core.metrics import KIND
from scalarpath.core.overrides import next_command
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import add_columns
from scalarpath.data.e0s import isolated_atom_frames
from scalarpath.data.labelled import labelled_quantities
from scalarpath.data.labels import Labels, cell_volume
from scalarpath.data.reading import Frame
from scalarpath.graph.neighbours import neighbour_list

MOST_BARS = 14
TOO_CLOSE = 0.7  # of the sum of the covalent radii: hardly an atom comes nearer in a condensed phase
TITLES = ("distances", "volume per atom", "size of forces")
"""Those of the panels, which tell a figure of this file from others."""
UNEVEN = 4  # sizes of frames that differ by more are better counted in edges


@dataclass(frozen=True)
class FirstLook:
    """What the frames are. distances: of all pairs within the cutoff, by pair of elements, Å, each pair once or twice;
    closest: by pair of elements, the shortest distance and its frame; volumes: of periodic frames, Å^3 per atom;
    forces: sizes of those of all atoms, eV/Å; kinds: frames by config_type; formulas: frames by reduced formula;
    edges: of every frame; labelled: the quantities of which any frame carries a label.
    """

    frames: int
    atoms: Counter[str]
    sizes: np.ndarray
    edges: np.ndarray
    distances: dict[str, np.ndarray]
    closest: dict[str, tuple[float, str]]
    volumes: np.ndarray
    forces: np.ndarray
    kinds: Counter[str]
    formulas: Counter[str]
    same_composition: bool
    isolated: int
    labelled: frozenset[str]
    cutoff: float

    def tables(self) -> Iterator[Table]:
        """For the screen."""
        table = Table(title=f"{self.frames} frames")
        add_columns(table, "of each", "smallest", "median", "largest", words=("of each",))
        rows = {
            "atoms": self.sizes,
            f"neighbours per atom within {self.cutoff:g} Å": self.edges / np.maximum(self.sizes, 1),
            "volume per atom, Å³": self.volumes,
            "size of a force, eV/Å": self.forces,
        }
        for name, values in rows.items():
            if len(values):
                table.add_row(name, *(f"{value:.4g}" for value in (values.min(), np.median(values), values.max())))
        yield table
        table = Table(title="Shortest distances")
        add_columns(table, "pair", "Å", "of the covalent radii", "where", words=("pair", "where"))
        for pair, (distance, where) in sorted(self.closest.items(), key=lambda item: item[1][0])[:MOST_BARS]:
            table.add_row(pair, f"{distance:.3f}", f"{distance / _radii(pair):.2f}", where)
        yield table

    def notes(self) -> Iterator[str]:
        """What a reader should know, in sentences."""
        for pair, (distance, where) in self.closest.items():
            if distance < TOO_CLOSE * _radii(pair):
                yield f"{where}: {pair} are {distance:.3f} Å apart, which is very near; look whether the units are Å."
        missing = self.sizes.sum() - len(self.forces)
        if 0 < missing < self.sizes.sum():
            yield f"{missing} atoms have no force; they are left out of losses and errors."
        if not self.labelled:
            yield "No frame carries a label, so there is nothing to learn; name it, for example with energy_key=E_dft."

    def settings(self) -> dict[str, str]:
        """Settings of a training that these frames call for, and nothing for which the defaults serve."""
        found = {}
        if self.same_composition and len(self.atoms) > 1 and not self.isolated:
            found["data.e0s"] = "mean"
        if len(self.kinds) > 1 and self.kinds.total() == self.frames:  # a split by kind wants it of every frame
            found["data.stratify_key"] = KIND
        if self.edges.max() > UNEVEN * max(1.0, float(np.median(self.edges))):
            found["data.max_edges"] = str(int(max(self.edges.max(), 8 * np.median(self.edges))))
        return found | {f"loss.{name}": "0" for name in QUANTITIES if name not in self.labelled}

    def command(self, files: Sequence[str], given: Sequence[str]) -> str:
        """The command that trains on them; ``given``: settings that were needed to read them."""
        keys = {text.partition("=")[0].lstrip("+") for text in given}
        words = [*given, *(f"{key}={value}" for key, value in self.settings().items() if key not in keys)]
        if len(files) > 1:
            words.insert(0, f"data.path=[{','.join(files)}]")
            return " ".join([next_command("train", "data", "extxyz"), *map(shlex.quote, words)])
        return " ".join([next_command("train", "data.path", files[0]), "data=extxyz", *map(shlex.quote, words)])

    def draw(self, path: Path) -> None:
        """Write ``path`` with the suffixes .svg and .png: distances, volumes, forces, kinds of frames."""
        import matplotlib

        with matplotlib.rc_context(STYLE):
            figure, axes = panels(2, 2)
            (distances, volumes), (forces, kinds) = axes
            bins = np.linspace(0.0, self.cutoff, 101)
            for (pair, values), colour in zip(self.distances.items(), itertools.cycle(SERIES), strict=False):
                distances.hist(values, bins, histtype="step", color=colour, label=pair)
            distances.set(title=TITLES[0], xlabel="Å", ylabel="pairs", yscale="log")
            if len(self.distances) <= len(SERIES):
                distances.legend(ncols=2)
            if len(self.volumes):
                volumes.hist(self.volumes, 40, color=SERIES[1])
            volumes.set(title=TITLES[1], xlabel="Å³", ylabel="frames")
            positive = self.forces[self.forces > 0]
            if len(positive):
                edges = np.geomspace(max(positive.min(), 1e-4 * positive.max()), positive.max(), 51)
                forces.hist(positive, edges, color=SERIES[0])
            forces.set(title=TITLES[2], xlabel="eV/Å", ylabel="atoms", xscale="log")
            counted, title = (self.kinds, KIND) if self.kinds else (self.formulas, "composition")
            names, numbers = zip(*counted.most_common(MOST_BARS), strict=True)
            kinds.barh(range(len(names)), numbers, color=SERIES[4])
            kinds.set(title=f"frames by {title}", yticks=range(len(names)), yticklabels=names)
            kinds.invert_yaxis()
            kinds.tick_params(axis="y", labelsize=7)
        save(figure, path)


def prepare_figure(setting: str, path: Path) -> None:
    """Make the folder of the figure; raises ConfigError where another file is, or where none can be written."""
    drawn = path.with_suffix(".svg")
    refuse_foreign(
        setting, drawn, lambda text: all(f">{title}</text>" in text for title in TITLES), [path.with_suffix(".png")]
    )
    prepare_place(setting, drawn)


def first_look(frames: Sequence[Frame], labels: Sequence[Labels], cutoff: float) -> FirstLook:
    """Look at all frames once; raises GraphError for a structure of which no graph can be made."""
    atoms: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    formulas: Counter[str] = Counter()
    distances: dict[str, list[np.ndarray]] = {}
    closest: dict[str, tuple[float, str]] = {}
    sizes, edges, volumes, forces = [], [], [], []
    for frame, label in zip(frames, labels, strict=True):
        structure = frame.atoms
        atoms.update(structure.get_chemical_symbols())
        formulas[structure.symbols.formula.reduce()[0].format("metal")] += 1
        if KIND in structure.info:
            kinds[str(structure.info[KIND])] += 1
        found = neighbour_list(structure, cutoff, frame.where)
        sizes.append(len(structure))
        edges.append(len(found.distance))
        if structure.pbc.all():
            volumes.append(cell_volume(frame) / len(structure))
        size = np.linalg.norm(label.forces, axis=1)
        forces.append(size[np.isfinite(size)])
        pairs = np.sort(structure.numbers[found.edge_index], axis=0)
        for a, b in np.unique(pairs, axis=1).T.tolist():
            own = found.distance[(pairs[0] == a) & (pairs[1] == b)]
            name = f"{chemical_symbols[a]}-{chemical_symbols[b]}"
            distances.setdefault(name, []).append(own)
            if own.min() < closest.get(name, (np.inf, ""))[0]:
                closest[name] = (float(own.min()), frame.where)
    return FirstLook(
        frames=len(frames), atoms=atoms, sizes=np.array(sizes), edges=np.array(edges),
        distances={pair: np.concatenate(parts) for pair, parts in distances.items()}, closest=closest,
        volumes=np.array(volumes), forces=np.concatenate(forces), kinds=kinds, formulas=formulas,
        same_composition=len(formulas) == 1, isolated=len(isolated_atom_frames(frames, cutoff)),
        labelled=labelled_quantities(labels), cutoff=cutoff,
    )  # fmt: skip


def _radii(pair: str) -> float:
    """Sum of the covalent radii, Å."""
    return float(sum(covalent_radii[chemical_symbols.index(symbol)] for symbol in pair.split("-")))
