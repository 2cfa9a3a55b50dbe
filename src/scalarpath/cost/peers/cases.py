"""What is compared: upstream models on structures, per dtype and threads."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from scalarpath.core.errors import ConfigError
from scalarpath.cost.peers.models import MODELS
from scalarpath.graph import neighbour_list

COMPILING = ("nequip", "allegro")  # peers with a compile mode of their own for training, and with AOTInductor
STEPS = ("inference", "train")
MODES = {"eager": STEPS, "compiled": STEPS, "both_compiled": STEPS, "aotinductor": ("inference",)}  # and their steps
KERNELS = "kernels"  # the mode of suite=gpu alone


@dataclass(frozen=True)
class Case:
    """One comparison: a model (key of MODELS), structures, precision, threads, mode, device of torch.

    mode: eager | compiled (the peer in its compile mode) | both_compiled (scalarpath compiled, the peer in its compile
    mode if it has one) | aotinductor (the peer as its users run inference: exported ahead of time) | kernels (the peer
    with the GPU kernels that its package offers).
    """

    model: str
    structure: str
    dtype: str
    threads: int
    mode: str = "eager"
    device: str = "cpu"

    @property
    def kind(self) -> str:
        """The backbone: mace, nequip or allegro."""
        return MODELS[self.model][0]

    @property
    def peer_mode(self) -> str:
        """What the peer does: eager, compiled, aotinductor or kernels."""
        if self.mode == KERNELS:
            return self.mode
        mode = "compiled" if self.mode == "both_compiled" else self.mode
        return mode if self.kind in COMPILING else "eager"

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that are timed: inference, train."""
        return MODES.get(self.mode, STEPS)

    def __str__(self) -> str:
        return f"{self.model} {self.structure} {self.dtype} x{self.threads} {self.mode}"


def cases(
    models: Sequence[str],
    structures: Iterable[str],
    dtypes: Iterable[str],
    threads: Iterable[int],
    modes: Iterable[str],
) -> list[Case]:
    """Every combination in every mode that its peer has."""
    eager = [Case(*one) for one in itertools.product(models, structures, dtypes, threads)]
    alone = ("compiled", "aotinductor")  # of the peer; a peer that has none has been measured eagerly
    return [replace(case, mode=mode) for mode in modes for case in eager if mode not in alone or case.kind in COMPILING]


def hyperparameters(case: Case, frames: Sequence[Atoms]) -> dict[str, Any]:
    """Upstream's constructor arguments, with those that depend on the structures and made-up references."""
    kind, own = MODELS[case.model]
    species = sorted({int(z) for atoms in frames for z in atoms.numbers})
    edges = sum(neighbour_list(atoms, own["r_max"]).distance.size for atoms in frames)
    degree = edges / sum(len(atoms) for atoms in frames)
    e0s = [-1.0 - 0.5 * k for k in range(len(species))]
    if kind == "mace":
        given = {"atomic_numbers": species, "num_elements": len(species), "atomic_energies": e0s}
    else:
        symbols = [chemical_symbols[z] for z in species]
        given = {"type_names": symbols, "per_type_energy_shifts": dict(zip(symbols, e0s, strict=True))}
    return {**own, **given, "avg_num_neighbors": degree}


def arrays(frames: Sequence[Atoms]) -> dict[str, np.ndarray]:
    """The structures as the workers read them; raises ConfigError for a slab or a wire."""
    for atoms in frames:
        if atoms.pbc.any() != atoms.pbc.all() or atoms.pbc.any() != frames[0].pbc.any():
            raise ConfigError("the structures of a case must all be periodic in three directions, or in none.")
    return {
        "numbers": np.concatenate([atoms.numbers for atoms in frames]),
        "positions": np.concatenate([atoms.positions for atoms in frames]),
        "cell": np.stack([atoms.cell.array for atoms in frames]),
        "periodic": np.array([atoms.pbc.all() for atoms in frames]),
        "ptr": np.cumsum([0, *(len(atoms) for atoms in frames)]),
    }
