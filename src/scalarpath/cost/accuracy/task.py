"""One training of the comparison: what it is told, and what a program's own module has to offer for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from scalarpath.cost.accuracy.frames import Parts

OWN = "scalarpath"
LOG_OF_COMMAND = "output.txt"
Errors = dict[str, float]
"""Mean absolute errors by the names of ``core.metrics``, such as ``forces_mae_meV_A``."""


@dataclass(frozen=True)
class Arm:
    """A program with one of its recipes, for an option of conf/backbone, a number of epochs and a seed."""

    backbone: str
    program: str  # mace_run_train | nequip-train | scalarpath
    recipe: str
    epochs: int
    seed: int

    def __str__(self) -> str:
        return f"{self.backbone} {self.program} {self.recipe}, {self.epochs} epochs, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Name of the folder in which it runs."""
        return re.sub(r"[^\w.=-]", "-", "_".join(str(value) for value in asdict(self).values()))


@dataclass(frozen=True)
class Task:
    """An arm with all that its command is made of.

    python: of the environment that has the program; options: those of the backbone; weights: of energy, forces and
    stress in the loss.
    """

    arm: Arm
    folder: Path
    parts: Parts
    python: str
    options: Mapping[str, Any]
    batch_size: int
    dtype: str
    weights: Mapping[str, float]
    e0s: Any = None


class Program(Protocol):
    """What the module of a program offers."""

    def command(self, task: Task) -> list[str]:
        """The command that trains, with the files it needs written to the folder; ConfigError for what it lacks."""

    def epochs(self, task: Task) -> list[dict[str, float]]:
        """Epoch (from 1), steps and validation errors of the epochs that its log holds by now."""

    def final(self, task: Task) -> dict[str, Errors]:
        """Errors of the final model on the parts ``valid`` and ``test``."""
