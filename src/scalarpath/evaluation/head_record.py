"""What the parts of a head do on a batch of frames, as panels; no part is known by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement, product

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch_geometric.data import Data

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.descriptors import ENVELOPE_EXPONENT
from scalarpath.heads.interface import Shown
from scalarpath.heads.panels import Curve, Panel, binned
from scalarpath.heads.recording import RecordingPathway
from scalarpath.nn.neighbour_sum import neighbour_sum
from scalarpath.nn.radial import polynomial_cutoff
from scalarpath.potential import Potential

NEIGHBOURS = "soft number of neighbours"
DISTANCE = "distance (Å)"
MEV = 1000.0


Group = tuple[str, int, np.ndarray]
"""Name, number of the colour, and which atoms or edges belong to it."""


def soft_neighbours(geometry: EdgeGeometry) -> Tensor:
    """sum_j u(r_ij) of every atom [N], u falling from one to zero at the cutoff, and passing one half at 0.68 of it."""
    return neighbour_sum(polynomial_cutoff(geometry.scaled_distances, ENVELOPE_EXPONENT), geometry).squeeze(1)


@torch.no_grad()
def panels_of_head(potential: Potential, batch: Data) -> list[Panel]:
    """What every hook of every part does on the frames of ``batch``, and what the parts show by themselves."""
    head, recorder = potential.head, RecordingPathway(potential.head)
    potential.head = recorder
    try:
        potential(batch, forces=False, stress=False)
    finally:
        potential.head = head
    elements = [chemical_symbols[z] for z in potential.species]
    labels = [] if head.descriptors is None else head.descriptors.labels
    shown = Shown(recorder.inputs, recorder.plain_weights, labels, elements, potential.scale)
    panels: list[Panel] = []
    for name, part in head.named_parts.items():
        panels += _of_hooks(name, recorder, elements, potential.scale)
        panels += [replace(panel, title=f"{name}, {panel.title}") for panel in part.panels(shown)]
    return panels


def _of_hooks(name: str, recorder: RecordingPathway, elements: Sequence[str], energy_unit: Tensor) -> Iterator[Panel]:
    geometry = recorder.inputs.geometry
    neighbours, distances = _array(soft_neighbours(geometry)), _array(geometry.distances.squeeze(1))
    species, centre, neighbour = (_array(i) for i in (geometry.species, geometry.centre, geometry.neighbour))
    ends = species[centre] * len(elements) + species[neighbour]
    ordered = {(i, j): ends == i * len(elements) + j for i, j in product(range(len(elements)), repeat=2)}
    either = [
        (f"{elements[i]}-{elements[j]}", ordered[i, j] | ordered[j, i])
        for i, j in combinations_with_replacement(range(len(elements)), 2)
    ]
    one_way = _filled([(f"{elements[j]} around {elements[i]}", here) for (i, j), here in ordered.items()])
    for layer, values in recorder.edge_terms[name].items():
        yield _weights(_title(name, layer), distances, values, recorder.plain_weights[layer], _filled(either))
    for layer, values in recorder.edge_gates[name].items():
        shows = "factor on the scalar weights of the edges"
        for label, x in ((NEIGHBOURS, neighbours[centre]), (DISTANCE, distances)):
            yield _panel(_title(name, layer), label, "gate of edges", x, _array(values), one_way, shows, 1.0)
    for layer, values in recorder.pools[name].items():
        shows, atoms = "pooled scalars after over before, of all channels", _atoms(geometry, elements)
        yield _panel(
            _title(name, layer), NEIGHBOURS, "factor on scalars", neighbours, _array(values), atoms, shows, 1.0
        )
    for layer, values in recorder.readouts[name].items():
        energies = values.double() * energy_unit.index_select(0, geometry.species)
        yield energies_of_atoms(_title(name, layer), energies, geometry, elements)


def energies_of_atoms(title: str, energies: Tensor, geometry: EdgeGeometry, elements: Sequence[str]) -> Panel:
    """Energies [N], in eV, against the number of neighbours."""
    shows = "energy that the part adds to an atom"
    neighbours, groups = _array(soft_neighbours(geometry)), _atoms(geometry, elements)
    return _panel(title, NEIGHBOURS, "energy (meV)", neighbours, MEV * _array(energies), groups, shows, 0.0)


def _atoms(geometry: EdgeGeometry, elements: Sequence[str]) -> list[Group]:
    species = _array(geometry.species)
    return _filled([(element, species == s) for s, element in enumerate(elements)])


def _title(name: str, layer: int) -> str:
    return f"{name}, layer {layer + 1}"


def _weights(title: str, distances: np.ndarray, added: Tensor, plain: Tensor, groups: Sequence[Group]) -> Panel:
    curves: list[Curve] = []
    for label, colour, here in groups:
        for what, squares, dashed in ((label, added, False), (f"{label}, backbone", plain, True)):
            curve = binned(what, distances[here], np.sqrt(_array(squares))[here], colour, dashed=dashed)
            curves.append(replace(curve, low=None, high=None))
    shows = "root mean square over the channels of what is added to the scalar edge weights; dashed: the backbone's own"
    return Panel(title, DISTANCE, "edge weight", curves, shows, logarithmic=True)


def _panel(
    title: str,
    x_label: str,
    y_label: str,
    x: np.ndarray,
    values: np.ndarray,
    groups: Sequence[Group],
    shows: str,
    identity: float,
) -> Panel:
    curves = [binned(label, x[here], values[here], colour) for label, colour, here in groups]
    return Panel(title, x_label, y_label, curves, f"{shows}: median and 10th to 90th percentile", identity)


def _filled(groups: Sequence[tuple[str, np.ndarray]]) -> list[Group]:
    """Those that have members, coloured by their place among all."""
    return [(label, colour, here) for colour, (label, here) in enumerate(groups) if here.any()]


def _array(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()
