"""ASE calculators."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from threading import RLock
from typing import Any, Protocol, cast

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential, load_potential


def copy_of(
    source: Potential | str | Path, dtype: str | None, device: str | torch.device, trust: Collection[str] = ()
) -> Potential:
    """A copy, for evaluation alone, of a Potential or of what ``load_potential`` reads, with its ``trust``.

    Raises what that raises for an unusable source, ConfigError for an impossible dtype or device.
    """
    loaded = source if isinstance(source, Potential) else load_potential(source, trust=trust)
    return loaded.copy_to(dtype=dtype, device=device)


class GraphModel(Protocol):
    """What a calculator calls: neighbours up to ``cutoff`` (Å) go in; see ``Potential.forward`` for what comes out."""

    cutoff: float

    @property
    def device(self) -> torch.device:
        """Where the graph has to be."""

    def __call__(self, graph: Batch) -> dict[str, Tensor]:
        """Predictions for a batch of structures."""


class GraphCalculator(Calculator):
    """What all calculators of this package share: ``results`` from one pass of a model over the graph of ``atoms``.

    Stress is given for structures that are periodic in all directions. Threads that share a calculator wait for one
    another.
    """

    implemented_properties = [  # noqa: RUF012 - as ASE declares it
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(self, potential: GraphModel, **kwargs: Any):
        super().__init__(**kwargs)
        self._lock = RLock()
        self.potential = potential

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
        self.results = self.results_of({key: value.detach().cpu().numpy() for key, value in out.items()})

    def results_of(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """What ASE calls the predictions for one structure."""
        energy = float(arrays["energy"][0])
        results = {
            "energy": energy,
            "free_energy": energy,
            "energies": arrays["node_energy"],
            "forces": arrays["forces"],
        }
        if np.isfinite(arrays["stress"]).all():
            results["stress"] = full_3x3_to_voigt_6_stress(arrays["stress"][0])
        return results

    def export_properties(self) -> Properties:
        """The results that ASE knows; it refuses others."""
        return Properties({name: value for name, value in self.results.items() if name in all_outputs})


class ScalarPathCalculator(GraphCalculator):
    """Energy, per-atom energies, forces and stress of a potential for ASE, in ASE's units and signs.

    source: a Potential, a checkpoint file or a run directory; dtype: "float32" or "float64" (None: as the potential);
    device: torch device. ``energies`` are the atomic energies, E0 included. Raises CheckpointError for an unusable
    source, ConfigError for another dtype, DataError for an element the potential does not know.
    """

    def __init__(
        self,
        source: Potential | str | Path,
        *,
        dtype: str | None = None,
        device: str | torch.device = "cpu",
        **kwargs: Any,
    ):
        super().__init__(copy_of(source, dtype, device), **kwargs)
