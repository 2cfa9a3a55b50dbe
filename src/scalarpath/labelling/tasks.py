"""What is to be labelled: one structure, how its k-points are chosen, and what is written beside the labels."""

from dataclasses import dataclass, field
from typing import Any

from ase import Atoms


@dataclass(frozen=True)
class LabelTask:
    """One single-point calculation.

    ``atoms``: the structure, without calculator; ``info``: written to the frame's comment line (``config_type`` and
    what identifies the frame); ``repeat``: repetitions of the conventional cell that the structure's cell is; ``None``
    for a molecule in a box; ``point_group``: whether the engine may use the point group.
    """

    atoms: Atoms
    info: dict[str, Any] = field(default_factory=dict)
    repeat: tuple[int, int, int] | None = (1, 1, 1)
    point_group: bool = False
