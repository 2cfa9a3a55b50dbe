"""A potential as a file of mace-torch, which its own calculator and tools load."""

from __future__ import annotations

from pathlib import Path

from scalarpath.core.files import put_in_place
from scalarpath.models.comparison import compared, refuse_deviations, sample_structures
from scalarpath.potential import Potential
from scalarpath.upstream.mace import float64_copy
from scalarpath.upstream.mace_file import write_mace

TOLERANCE = 1e-10  # of mace's calculator, over the largest value of each quantity, both in float64


def write_mace_torch(file: Path, potential: Potential, python: str) -> tuple[dict[str, float], list[int]]:
    """Write ``potential`` as a .model in float64, after mace's own calculator was compared with it.

    ``python``: that of an environment with mace-torch. Returns the deviations of energy, forces and stress, and the
    numbers of atoms of the structures. Raises ConfigError, UpstreamError as ``write_mace``, and ConfigError for a model
    that computes something else; nothing is written then.
    """
    potential = float64_copy(potential)
    structures = sample_structures(potential)
    with put_in_place(file) as partial:
        deviations = compared(potential, structures, write_mace(partial, potential, structures, python))
        refuse_deviations("mace", "mace-torch", deviations, TOLERANCE)
    return deviations, [len(atoms) for atoms in structures]
