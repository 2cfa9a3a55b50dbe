"""What the linear potential of a head does: its pair functions, the energies of its terms, the charges that act."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor
from torch_geometric.data import Data

from scalarpath.evaluation.head_record import DISTANCE, energies_of_atoms
from scalarpath.graph import AtomicGraph, collate
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.heads.coulomb import FixedCharges
from scalarpath.heads.linear import OF_CHARGES, PAIR, LinearPotential
from scalarpath.heads.panels import Curve, Panel
from scalarpath.potential import Potential

TWO_ATOMS = "two atoms, by pair functions"
POINTS = 100  # of a pair function


@dataclass(frozen=True)
class ActingCharges:
    """What the fit has made of the formal charges: their Coulomb energy counts ``factor`` times.

    So they act as ``share`` of themselves, NaN for a negative factor, which no charges have; ``charges``: e by element.
    """

    factor: float
    share: float
    charges: dict[str, float]

    @property
    def title(self) -> str:
        """Of the panel with their energies."""
        acting = f"{self.factor:.2g} times" if math.isnan(self.share) else f"{self.share:.2g} of the formal charges"
        return f"{OF_CHARGES}, {acting}"

    def render(self) -> str:
        """One line for the screen."""
        times = f"{OF_CHARGES}: {self.factor:.3g} times that of the formal charges"
        acting = ", ".join(f"{element} {charge:+.2f}" for element, charge in self.charges.items())
        return f"{times}." if math.isnan(self.share) else f"{times}, as of charges {acting} e."


def acting_charges(potential: Potential) -> ActingCharges | None:
    """None without charges."""
    if potential.linear is None or potential.charges is None:
        return None
    factor = float(potential.linear.coulomb_share)
    share = math.sqrt(factor) if factor >= 0.0 else math.nan
    formal = zip(_elements(potential), potential.charges.charges.tolist(), strict=True)
    return ActingCharges(factor, share, {element: share * charge for element, charge in formal})


@torch.no_grad()
def panels_of_linear(potential: Potential, batch: Data) -> list[Panel]:
    """The pair functions, and the energies of atoms by kind of terms; nothing without a linear potential."""
    if potential.linear is None:
        return []
    linear, charges, elements = potential.linear, potential.charges, _elements(potential)
    geometry, acting = potential.geometry(batch), acting_charges(potential)
    shows = (
        "energy of two atoms by the pair functions alone, from the shortest distance in the frames on; dashed: by all "
        "terms of the linear potential"
    )
    curves = list(_pair_curves(potential, linear, geometry))
    panels = [Panel(TWO_ATOMS, DISTANCE, "energy (eV)", curves, shows, identity=0.0)]
    for name, terms in linear.blocks.items():
        title = name if name != OF_CHARGES or acting is None else acting.title
        energies = _energies(linear, charges, linear.only(terms), batch, geometry)
        panels.append(energies_of_atoms(title, energies, geometry, elements))
    return panels


def _pair_curves(potential: Potential, linear: LinearPotential, geometry: EdgeGeometry) -> Iterator[Curve]:
    elements = _elements(potential)
    kept = {"": linear.only(linear.blocks[PAIR]), ", all terms": linear.acting}
    distances, ends = geometry.distances.squeeze(1), geometry.species_pairs(len(elements))
    for colour, (a, b) in enumerate(combinations_with_replacement(range(len(elements)), 2)):
        here = distances[(ends == a * len(elements) + b) | (ends == b * len(elements) + a)]
        if not len(here):
            continue
        lengths = np.linspace(float(here.min()), potential.cutoff, POINTS)
        pairs = _dimers(potential, [potential.species[a], potential.species[b]], lengths)
        apart = potential.geometry(pairs)
        for label, coefficients in kept.items():
            energies = _energies(linear, potential.charges, coefficients, pairs, apart).view(-1, 2).sum(1).tolist()
            name = f"{elements[a]}-{elements[b]}{label}"
            yield Curve(name, lengths.tolist(), energies, colour=colour, dashed=bool(label))


def _dimers(potential: Potential, numbers: Sequence[int], lengths: np.ndarray) -> Data:
    structures = [Atoms(numbers, [[0.0, 0.0, 0.0], [length, 0.0, 0.0]]) for length in lengths]
    return collate([AtomicGraph.from_atoms(atoms, potential.cutoff) for atoms in structures]).to(potential.device)


def _energies(
    linear: LinearPotential, charges: FixedCharges | None, coefficients: Tensor, batch: Data, geometry: EdgeGeometry
) -> Tensor:
    """Of all atoms [N], with these coefficients [T], eV."""
    energies = linear(geometry, coefficients)
    return energies if charges is None else energies + coefficients[-1] * charges(batch, geometry.species).node_energy


def _elements(potential: Potential) -> list[str]:
    return [chemical_symbols[z] for z in potential.species]
