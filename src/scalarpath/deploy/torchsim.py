"""TorchSim: a potential as one of its models, for dynamics and relaxations of many structures at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from scalarpath.core.errors import ConfigError
from scalarpath.deploy.batched import DEFAULT_SKIN_A, BatchedPotential
from scalarpath.potential import Potential

try:
    from torch_sim import SimState
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise ConfigError(f"TorchSim is needed ({error}); pip install 'scalarpath[torchsim]'.") from error


class TorchSimModel(ModelInterface):  # type: ignore[misc]
    """Energies, forces and stresses of a potential for TorchSim.

    The arguments are those of ``BatchedPotential``, whose neighbour lists are kept by the position of a system in the
    batch. Outputs have the dtype of the potential. Stress, tension positive, is computed with ``compute_stress``; it is
    NaN for systems that are not periodic in all directions. Raises CheckpointError for an unusable source, ConfigError
    for an impossible setting; a call raises GraphError for a system without a graph, DataError for an unknown element.
    """

    def __init__(
        self,
        source: Potential | str | Path,
        dtype: str | None = None,
        device: str | torch.device = "cpu",
        skin: float = DEFAULT_SKIN_A,
        compute_stress: bool = True,
    ):
        super().__init__()
        self._model = BatchedPotential(source, dtype, device, skin)
        self._device, self._dtype = self._model.potential.device, self._model.potential.dtype
        self._compute_stress, self._compute_forces = compute_stress, True

    @property
    def compute_stress(self) -> bool:
        """Whether stress is computed."""
        return self._compute_stress

    @compute_stress.setter
    def compute_stress(self, wanted: bool) -> None:
        self._compute_stress = wanted

    def forward(self, state: SimState | dict[str, Any], **_: Any) -> dict[str, Tensor]:
        """energy [systems] in eV, forces [atoms, 3] in eV/Å, stress [systems, 3, 3] in eV/Å^3 of a state."""
        if isinstance(state, dict):
            state = SimState(**{"masses": torch.ones_like(state["positions"][:, 0]), **state})
        out = self._model.predict(_structures(state), stress=self.compute_stress)
        return {key: out[key].to(self.dtype) for key in ("energy", "forces", "stress") if key in out}


def _structures(state: SimState) -> list[Atoms]:
    """The systems of a state."""
    numbers, positions, cells, system = (
        values.detach().cpu().numpy()
        for values in (state.atomic_numbers, state.positions, state.row_vector_cell, state.system_idx)
    )
    pbc = np.broadcast_to(torch.as_tensor(state.pbc).cpu().numpy(), 3)
    ends = np.cumsum(np.bincount(system, minlength=len(cells)))[:-1]
    parts = zip(np.split(numbers, ends), np.split(positions, ends), cells, strict=True)
    return [Atoms(z, x, cell=cell, pbc=pbc) for z, x, cell in parts]
