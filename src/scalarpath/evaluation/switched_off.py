"""What a part of a head is worth in a trained potential: energies and forces with it, minus those without it.

A part is switched off by building the head without it, with the same weights otherwise: it then is the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from torch_geometric.data import Data

from scalarpath.graph import AtomicGraph, collate
from scalarpath.heads.panels import Curve, Panel
from scalarpath.potential import Potential

ALL_PARTS, INTERPLAY, NETWORK = "all parts", "interplay", "network"
SCALES = np.linspace(0.8, 1.3, 26)
"""Lengths of the compressed and stretched structure."""
_MEV = 1000.0


@dataclass(frozen=True)
class Share:
    """What a part adds to the frames; energies per atom.

    mean, spread: of its energy over the frames; forces: root mean square of its forces F'; share: of the forces F of
    the potential, sum F' F / sum F F, so that shares of parts that add up do so to one. NaN: not defined.
    """

    part: str
    energy_mean_meV_atom: float
    energy_spread_meV_atom: float
    forces_rms_meV_A: float
    forces_share: float


def switched_off(potential: Potential) -> dict[str, Potential]:
    """The potential without each of its parts, without all of them, and, beside a linear potential, without NETWORK."""
    parts = potential.part_names
    off = {**{name: potential.without([name]) for name in parts}, ALL_PARTS: potential.without(parts)}
    if potential.linear is not None:
        off[NETWORK] = potential.without([])
        off[NETWORK].scale.zero_()
    return off


def shares(potential: Potential, off: Mapping[str, Potential], batch: Data) -> list[Share]:
    """Of every part, of their interplay, of all parts, and of the NETWORK if it is one of ``off``.

    The interplay is what is left of the energy of all parts when the energies of the single ones are taken off: parts
    act on what other parts have made. So the mean energies of the parts and the interplay add up to that of all parts.
    Groups of terms of a linear potential add up by themselves: with them alone there is no interplay.
    """
    atoms = torch.bincount(batch.batch).double()
    energy, forces = _computed(potential, batch)
    energies, found = {}, []
    for name, without in off.items():
        other_energy, other_forces = _computed(without, batch)
        energies[name] = _MEV * (energy - other_energy) / atoms
        added = forces - other_forces
        rms, share = _MEV * added.square().mean().sqrt(), (added * forces).sum() / forces.square().sum()
        found.append(_share(name, energies[name], float(rms), float(share)))
    if potential.head.named_parts:
        interplay = energies[ALL_PARTS] - sum(energies[name] for name in potential.part_names)
        found.insert(len(potential.part_names), _share(INTERPLAY, interplay, float("nan"), float("nan")))
    return found


def _share(name: str, energy: torch.Tensor, forces: float, share: float) -> Share:
    return Share(name, float(energy.mean()), float(energy.std(correction=0)), forces, share)


def _computed(potential: Potential, batch: Data) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.enable_grad():
        out = potential(batch, stress=False)
    return out["energy"].detach(), out["forces"].detach()


def compressed(
    name: str, atoms: Atoms, closest_A: float, potentials: Mapping[str, Potential], off: Mapping[str, Potential]
) -> list[Panel]:
    """Energy of a structure against its shortest distance: as a whole, without parts, and of every part.

    Terms of a linear potential add up, so what they add says all; the structure without them is not drawn.

    potentials: the one whose parts are ``off`` first, then others to be drawn beside it, by name; closest_A: shortest
    distance of two atoms as the structure is given. Raises DataError for an element that a potential does not know.
    """
    distances = (closest_A * SCALES).tolist()
    energies = {label: _energies(potential, atoms) for label, potential in potentials.items()}
    whole, (explained, *_) = next(iter(energies.values())), potentials.values()
    terms = set(explained.part_names) - set(explained.head.named_parts)
    without = {name: _energies(potential, atoms) for name, potential in off.items()}
    # from the last on, since where there are many the colours come again
    colours = {name: len(energies) + c for c, name in enumerate(reversed(without))}
    curves = [
        *(Curve(label, distances, energy, colour=c) for c, (label, energy) in enumerate(energies.items())),
        *(
            Curve(f"without {name}", distances, energy, colour=colours[name], dashed=True)
            for name, energy in without.items()
            if name not in terms
        ),
    ]
    differences = [
        Curve(name, distances, [_MEV * (a - b) for a, b in zip(whole, energy, strict=True)], colour=colours[name])
        for name, energy in without.items()
    ]
    axis = "shortest distance (Å)"
    return [
        Panel(
            f"{name}, compressed and stretched", axis, "energy per atom (eV)", curves, "energy per atom, E0s taken off"
        ),
        Panel(
            f"{name}, what each part adds",
            axis,
            "energy per atom (meV)",
            differences,
            "energy with the part minus without it",
            identity=0.0,
        ),
    ]


def _energies(potential: Potential, atoms: Atoms) -> list[float]:
    """Per atom, E0s taken off, at all SCALES (eV)."""
    numbers = torch.as_tensor(atoms.numbers)
    free = float(potential.e0[potential.species_of(numbers.to(potential.device))].mean())
    energies = []
    for scale in SCALES:
        scaled = Atoms(atoms.numbers, atoms.positions * scale, cell=atoms.cell * scale, pbc=atoms.pbc)
        graph = collate([AtomicGraph.from_atoms(scaled, potential.cutoff)]).to(potential.device)
        with torch.no_grad():
            energy = potential(graph, forces=False, stress=False)["energy"]
        energies.append(float(energy) / len(atoms) - free)
    return energies
