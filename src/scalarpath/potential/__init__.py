"""The potential: backbone, head and isolated-atom energies, from a graph to energy, forces and stress."""

from scalarpath.potential.checkpoint import load_potential, model_facts, read_checkpoint, to_checkpoint, write_model
from scalarpath.potential.configuration import potential_config
from scalarpath.potential.potential import Potential, build_potential, check_settings

__all__ = [
    "Potential",
    "build_potential",
    "check_settings",
    "load_potential",
    "model_facts",
    "potential_config",
    "read_checkpoint",
    "to_checkpoint",
    "write_model",
]
