"""Ranges of what measures can be told, and the checks of costs that no machine can pay, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import Range

Displacement = Annotated[float, Range(at_least=1e-5, at_most=0.5)]  # Å: harmonic, and larger than rounding
ForceLeft = Annotated[float, Range(above=0.0, at_most=1.0)]  # eV/Å
RelaxationSteps = Annotated[int, Range(at_least=1, at_most=100_000)]
Cells = Annotated[int, Range(at_least=1, at_most=8)]  # along each axis
CellEdge = Annotated[float, Range(above=0.0, at_most=100.0)]  # Å
Temperature = Annotated[float, Range(above=0.0, at_most=1e5)]  # K
TimeStep = Annotated[float, Range(at_least=1e-3, at_most=20.0)]  # fs
Friction = Annotated[float, Range(at_least=0.0, at_most=1e5)]  # 1/ps
Samples = Annotated[int, Range(at_least=1, at_most=100_000)]  # of a bootstrap
Beyond = Annotated[float, Range(above=1.0, at_most=1e6)]  # factor by which a limit of failure lies above the start
Threshold = Annotated[float, Range(at_least=0.0, at_most=100.0)]  # THz

MAX_STEPS = 10**8
MAX_RECORDS = 10**6
MAX_RESAMPLED = 10**8
"""Rows that a bootstrap holds in memory at once, 8 bytes each."""


def refuse_empty_or_twice(where: str, values: Sequence[Any]) -> None:
    """Raise ConfigError for a list with nothing in it, or with one value twice."""
    if not values:
        raise ConfigError(f"{where} is empty; give one value or more.")
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{where} lists {value} twice; name every value once.")


def refuse_endless(where: str, duration_ps: float, step_fs: float, most: int = MAX_STEPS) -> None:
    """Raise ConfigError where a duration has more steps than ``most``; ``where`` names the setting of the duration."""
    steps = duration_ps * 1e3 / step_fs
    if steps > most:
        raise ConfigError(
            f"{where} = {duration_ps:g} has {steps:.2g} steps of {step_fs:g} fs, more than {most:.0e}; shorten it or "
            "use longer steps."
        )
