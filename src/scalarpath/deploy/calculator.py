"""ASE calculator of a potential."""

from __future__ import annotations

from pathlib import Path
from threading import RLock
from typing import Any, cast

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential, load_potential


class ScalarPathCalculator(Calculator):
    """Energy, per-atom energies, forces and stress of a potential for ASE, in ASE's units and signs.

    source: a Potential, a checkpoint file or a run directory; dtype: "float32" or "float64" (None: as the potential);
    device: torch device. ``energies`` are the atomic energies, E0 included; stress is given for structures that are
    periodic in all directions. Threads that share a calculator wait for one another. Raises CheckpointError for an
    unusable source, ConfigError for another dtype, DataError for an element the potential does not know.
    """

    implemented_properties = [  # noqa: RUF012 - as ASE declares it
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        source: Potential | str | Path,
        *,
        dtype: str | None = None,
        device: str | torch.device = "cpu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._lock = RLock()
        loaded = source if isinstance(source, Potential) else load_potential(source)
        self.potential = loaded.copy_to(dtype=dtype, device=device)

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True) -> Any:
        """As ASE has it; ``atoms`` and ``results`` belong together, so only one thread at a time may change them."""
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate_properties(self, atoms: Atoms, properties: list[str]) -> Any:
        """As ASE has it, for one thread at a time."""
        with self._lock:
            return super().calculate_properties(atoms, properties)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=RLock())

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results``; the energy, forces and stress come from one pass."""
        super().calculate(atoms, properties, system_changes)
        graph = collate([AtomicGraph.from_atoms(cast(Atoms, self.atoms), self.potential.cutoff)])
        with torch.enable_grad():
            out = self.potential(graph.to(self.potential.device))
        arrays = {key: value.detach().cpu().numpy() for key, value in out.items()}
        energy = float(arrays["energy"][0])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": arrays["node_energy"],
            "forces": arrays["forces"],
        }
        if np.isfinite(arrays["stress"]).all():
            self.results["stress"] = full_3x3_to_voigt_6_stress(arrays["stress"][0])
