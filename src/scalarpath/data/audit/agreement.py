"""Energies against forces and stress: where they contradict each other, the settings that fit are named."""

from __future__ import annotations

import numpy as np

from scalarpath.data.audit.close_pairs import SAME_CELL, ClosePairs
from scalarpath.data.audit.facts import Facts
from scalarpath.data.audit.findings import OVERRULE, LabelAudit
from scalarpath.data.audit.units import force_settings, stress_settings
from scalarpath.data.audit.work import Factor, WorkFit, fit_work
from scalarpath.data.config import LabelSettings
from scalarpath.data.labels import LabelKeys

AGREE = (0.7, 1.4)  # factors of sets that are right; those of units begin at 1.89 (Å, Bohr)
STRESS_AGREES = (0.5, 2.0)  # a plane-wave basis changes with the cell
MOST_FILES = 8  # that are judged each by itself, those with most pairs
PER_ATOM = "the energies look like energies per atom: multiply them by the number of atoms"
MANY_PAIRS = 30
NOTHING_EXPLAINED = 0.8  # share of the energy changes beyond which forces say nothing about them


def check_agreement(
    audit: LabelAudit,
    pairs: ClosePairs,
    facts: Facts,
    keys: LabelKeys,
    spec: LabelSettings,
    required: frozenset[str],
) -> dict[str, WorkFit]:
    """Judge every file by its pairs of close frames; gives back what was fitted, by file."""
    files = np.asarray(facts["file"])[pairs.frames[:, 0]]
    numbers, counts = np.unique(files, return_counts=True)
    fits: dict[str, WorkFit] = {}
    for number in numbers[np.argsort(-counts, kind="stable")][:MOST_FILES]:
        file, own = facts.files[number], pairs.where(files == number)
        fit = fits[file] = fit_work(own)
        if _contradicted(fit.forces, AGREE):
            audit.suspect(_force_sentence(file, fit.forces, own, spec), weighed=required >= {"energy", "forces"})
        elif _contradicted(fit.stress, STRESS_AGREES):
            text = _stress_sentence(file, fit.stress, keys, spec)
            audit.suspect(text, weighed="stress" in required)
        elif fit.forces is None and _agrees(fit_work(own, per_atom=True).forces):
            audit.suspect(
                f"{file}: between {fit.pairs} pairs of close frames not the energy, but the energy times the number of "
                f"atoms changes by the work of the forces; {PER_ATOM}, {OVERRULE}.",
                weighed=required >= {"energy", "forces"},
            )
        elif fit.forces is None and fit.pairs >= MANY_PAIRS and fit.unexplained > NOTHING_EXPLAINED:
            audit.warnings.append(
                f"{file}: the forces do not explain how the energy changes between {fit.pairs} pairs of frames that "
                "hardly differ, in whatever unit; are both of the same calculation?"
            )
    _say_agreement(audit, fits)
    return fits


def _agrees(factor: Factor | None) -> bool:
    return factor is not None and AGREE[0] < factor.value < AGREE[1]


def _contradicted(factor: Factor | None, right: tuple[float, float]) -> bool:
    return factor is not None and not right[0] < factor.value < right[1]


def _force_sentence(file: str, factor: Factor | None, pairs: ClosePairs, spec: LabelSettings) -> str:
    assert factor is not None
    found = (
        f"{file}: between {factor.pairs} pairs of close frames the energy changes by {factor.value:.3g} times the work "
        "of the forces instead of 1"
    )
    same = pairs.strain < SAME_CELL
    stiffness = float(np.median(pairs.stiffness[same if same.any() else slice(None)]))
    ways = [PER_ATOM] if _agrees(fit_work(pairs, per_atom=True).forces) else []
    settings = force_settings(abs(factor.value), stiffness, spec) if not AGREE[0] < abs(factor.value) < AGREE[1] else []
    if settings:
        ways.append("set " + ", or ".join(settings))
    if factor.value < 0:
        sign = "the forces have the reversed sign (they look like gradients): write them with the other sign"
        ways = [f"{sign}, and {way}" for way in ways] or [sign]
    if not ways:
        ways = ["no unit explains that: check where energies and forces come from"]
    return f"{found}; {', or '.join(ways)}, {OVERRULE}."


def _stress_sentence(file: str, factor: Factor | None, keys: LabelKeys, spec: LabelSettings) -> str:
    assert factor is not None
    found = (
        f"{file}: between {factor.pairs} pairs of frames with different cells the energy changes by {factor.value:.3g} "
        "times the work of the stress instead of 1"
    )
    if keys["virial"]:
        way = "the virial looks reversed (stress = -virial / V)" if factor.value < 0 else "check the unit of the virial"
    else:
        settings = stress_settings(factor.value, spec)
        way = (
            "set " + ", or ".join(settings) if settings else "no unit explains that: check where the stress comes from"
        )
    return f"{found}; {way}, {OVERRULE}."


def _say_agreement(audit: LabelAudit, fits: dict[str, WorkFit]) -> None:
    """Tell what was checked and is right."""
    for file, fit in fits.items():
        parts = [
            f"{factor.value:.2f} times the work of {name} ({factor.pairs} pairs)"
            for name, factor, right in (("the forces", fit.forces, AGREE), ("the stress", fit.stress, STRESS_AGREES))
            if factor is not None and not _contradicted(factor, right)
        ]
        if parts:
            audit.checks.append(f"{file}: between close frames the energy changes by {' and '.join(parts)}.")


def forces_agree(fit: WorkFit) -> bool:
    """Whether pairs have told that energies and forces are in the units that are set."""
    return _agrees(fit.forces)
