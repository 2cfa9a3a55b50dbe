"""The potential: backbone, head and references, from a graph to energy, forces and stress."""

from scalarpath.potential.potential import Potential, build_potential, load_potential, potential_config

__all__ = ["Potential", "build_potential", "load_potential", "potential_config"]
