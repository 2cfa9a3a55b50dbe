"""What is exported is compared with the potential before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii
from torch import Tensor

from scalarpath.core.errors import ConfigError
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential
from scalarpath.potential.backend import relative_difference


def sample_structures(potential: Potential) -> list[Atoms]:
    """Rattled crystals and a cluster, of all elements in turn, with neighbours at 0.45 cutoffs, a pair so near that its
    nuclei repel each other, and an atom."""
    random, spacing = np.random.default_rng(0), 0.45 * potential.cutoff
    found = []
    for periodic, repeats in ((True, (3, 2, 2)), (True, (4, 3, 3)), (False, (2, 2, 1)), (True, (1, 1, 1))):
        places = spacing * np.argwhere(np.ones(repeats)) + random.normal(0.0, 0.05 * spacing, (np.prod(repeats), 3))
        numbers = np.resize(potential.species, len(places))
        cell = spacing * np.diag(repeats) if periodic else None
        found.append(Atoms(random.permutation(numbers), places, cell=cell, pbc=periodic))
    two = np.resize(potential.species, 2)
    pair = Atoms(two, [np.zeros(3), 0.7 * covalent_radii[two].sum() * np.array([0.0, 0.6, 0.8])])
    return [*found, pair, pair[:1]]


def compared(
    potential: Potential, structures: Sequence[Atoms], answers: Sequence[Mapping[str, Tensor]]
) -> dict[str, float]:
    """Largest deviation of the answers, each for one structure, from the potential: by quantity, over its largest
    value."""
    expected = [potential(collate([AtomicGraph.from_atoms(atoms, potential.cutoff)])) for atoms in structures]

    def values(outs: Sequence[Mapping[str, Tensor]], name: str) -> Tensor:
        return torch.cat([out[name].detach().flatten() for out in outs])

    return {name: relative_difference(values(answers, name), values(expected, name)) for name in answers[0]}


def refuse_deviations(form: str, what: str, deviations: Mapping[str, float], limit: float) -> None:
    """Raise ConfigError where a deviation is larger than ``limit``; ``what`` was to be written with format=``form``."""
    for name, deviation in deviations.items():
        if not deviation <= limit:
            raise ConfigError(
                f"format={form}: {name} of {what} differs by {deviation:.1e} of the largest value from that of the "
                f"potential, more than {limit:.0e}; nothing was written. Leave format= out, and use the file with this "
                "package."
            )
