"""Which settings make energies, forces and stress fit each other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from scalarpath.core.units import ENERGY_TO_EV, FORCE_TO_EV_A, LENGTH_TO_A, STRESS_SIGNS, STRESS_TO_EV_A3
from scalarpath.data.config import LabelSettings

TOLERANCE = 1.15  # factor between a unit and what the pairs say; Ha/Å and kcal/mol/Å differ by 1.18
STRESS_TOLERANCE = 1.7  # the basis set of a plane-wave code changes with the cell (Pulay stress); units differ by tens
USUAL_STIFFNESS = 8.0  # eV/Å^2, of crystals and molecules from 0.3 (alkali metals) to 60 (double bonds)
EXTREME_STIFFNESS = (0.02, 300.0)
NEARLY_AS_USUAL = 4.0  # factor within which two stiffnesses are equally usual


class _Candidate(NamedTuple):
    settings: str
    factor: float  # of the work of the forces
    stiffness: float  # of the read stiffness
    changes: int


def force_settings(factor: float, stiffness: float, spec: LabelSettings) -> list[str]:
    """Settings of energy and forces that explain ``factor`` (> 0), one wrong setting before two; at most three.

    stiffness: eV/Å^2 as read, which tells apart units whose ratio is the same, such as Ha with Ha/Bohr and eV with
    eV/Bohr.
    """
    fitting = [
        candidate
        for candidate in _candidates(spec)
        if max(factor / candidate.factor, candidate.factor / factor) < TOLERANCE
        and EXTREME_STIFFNESS[0] < stiffness * candidate.stiffness < EXTREME_STIFFNESS[1]
    ]
    if not fitting:
        return []
    strangeness = {c: abs(math.log(stiffness * c.stiffness / USUAL_STIFFNESS)) for c in fitting}
    least = min(strangeness.values())
    kept = [c for c in fitting if strangeness[c] <= least + math.log(NEARLY_AS_USUAL)]
    kept.sort(key=lambda c: (c.changes, abs(math.log(factor / c.factor))))
    return [c.settings for c in kept][:3]


def _candidates(spec: LabelSettings) -> Iterable[_Candidate]:
    for energy, in_ev in ENERGY_TO_EV.items():
        for of_force in ENERGY_TO_EV:
            for length in LENGTH_TO_A:
                unit = f"{of_force}/{length}"
                same = energy == spec.energy_unit, FORCE_TO_EV_A[unit] == FORCE_TO_EV_A[spec.forces_unit]
                if length == "Ang" or (not any(same) and energy != of_force) or all(same):
                    continue
                of_energy = in_ev / ENERGY_TO_EV[spec.energy_unit]
                of_forces = FORCE_TO_EV_A[unit] / FORCE_TO_EV_A[spec.forces_unit]
                settings = [] if same[0] else [f"data.energy_unit={energy}"]
                settings += [] if same[1] else [f"data.forces_unit={unit}"]
                yield _Candidate(" ".join(settings), of_forces / of_energy, of_forces, len(settings))


def stress_settings(factor: float, spec: LabelSettings) -> list[str]:
    """Settings that explain ``factor`` of the work of the stress, of either sign, the nearest first; at most two.

    They may also be those of energies and forces, where both are in another unit and only the stress contradicts them.
    """
    sign = [f"data.stress_sign={other_sign(spec)}"] if factor < 0 else []
    found: dict[str, float] = {}
    for name in STRESS_TO_EV_A3:
        apart = abs(math.log(abs(factor) / _stress_factor(name, spec)))
        if apart < math.log(STRESS_TOLERANCE):
            unit = [] if name == spec.stress_unit else [f"data.stress_unit={name}"]
            found[" ".join(unit + sign)] = apart
    length = spec.forces_unit.rpartition("/")[2]
    for name, in_ev in ENERGY_TO_EV.items():
        apart = abs(math.log(abs(factor) * in_ev / ENERGY_TO_EV[spec.energy_unit]))
        if apart < math.log(STRESS_TOLERANCE) and name != spec.energy_unit and factor > 0:
            found[f"data.energy_unit={name} data.forces_unit={name}/{length}"] = apart
    return sorted(found, key=found.__getitem__)[:2]


def other_sign(spec: LabelSettings) -> str:
    """The sign of stress that is not set."""
    return next(sign for sign in STRESS_SIGNS if sign != spec.stress_sign)


def plausible_stress_units(stress: float, spec: LabelSettings, usual: tuple[float, float]) -> list[str]:
    """Units in which the size ``stress`` (eV/Å^3 as read) would lie in the range ``usual``."""
    return [name for name in STRESS_TO_EV_A3 if usual[0] <= stress * _stress_factor(name, spec) <= usual[1]]


def _stress_factor(name: str, spec: LabelSettings) -> float:
    return STRESS_TO_EV_A3[name] / STRESS_TO_EV_A3[spec.stress_unit]
