"""Everything a report says, in one object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report.answers import Answer, answers
from scalarpath.report.artifact_rows import ArtifactCurves, ArtifactLine, artifacts_of
from scalarpath.report.breakdown import Breakdown, breakdown_of
from scalarpath.report.cells import BASELINE, BUDGET, Cell, cells_of
from scalarpath.report.costs import Cost, costs_of
from scalarpath.report.effects import ALL_DATA, Effect, all_effects, arms_by_effect, comparisons
from scalarpath.report.gain_map import GainLine, gain_lines
from scalarpath.report.ladders import AXES, Convergence, Ladder, convergence, ladders
from scalarpath.report.noise import Noise, noise_of
from scalarpath.report.other_frames import OtherFrames, other_frames_of
from scalarpath.report.parts import PartErrors, part_errors
from scalarpath.report.runs import Run, Unfinished, comparing, find_runs
from scalarpath.report.settings import PUBLISHED, ReportSettings
from scalarpath.report.verdicts import Verdict, verdicts


@dataclass(frozen=True)
class Aggregate:
    """Runs, what they say, and what was left out.

    ``answers`` say which arm is best. ``cells`` are the comparable runs by data set, backbone and terms. ``effects``
    compare every arm with baseline, and heads with their controls: each quantity, MAE and RMSE, each data set and the
    mean over data sets. ``costs``, ``artifacts``, their curves and ``verdicts`` (on the claims that were asked for) are
    by cell. Arms are in the order of their effects, the best first. ``parts`` are errors on train and test frames,
    ``breakdown`` is errors by element and config_type, ``other_frames`` those on frames of other files, ``noise`` tells
    what can be seen with the seeds at hand, ``ladders`` are cells that differ in one thing that rises, ``convergence``
    is what doublings of the budget bring, ``gains`` are effects over everything in which the cells differ.
    ``unfinished`` are runs that cannot be compared. ``notes`` say what to know when reading: seeds without a partner,
    missing files, mixed revisions.
    """

    answers: tuple[Answer, ...]
    cells: tuple[Cell, ...]
    effects: tuple[Effect, ...]
    costs: tuple[Cost, ...]
    artifacts: tuple[ArtifactLine, ...]
    artifact_curves: tuple[ArtifactCurves, ...]
    parts: tuple[PartErrors, ...]
    breakdown: tuple[Breakdown, ...]
    other_frames: tuple[OtherFrames, ...]
    noise: tuple[Noise, ...]
    ladders: tuple[Ladder, ...]
    convergence: tuple[Convergence, ...]
    gains: tuple[GainLine, ...]
    verdicts: tuple[Verdict, ...]
    unfinished: tuple[Unfinished, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        """All finished runs."""
        return [run for cell in self.cells for run in cell.runs()]

    @property
    def part(self) -> str:
        """The part of the data whose errors are compared; all but TEST is development."""
        return self.cells[0].part


def aggregate(settings: ReportSettings) -> Aggregate:
    """Find, check and compare the runs of ``settings``.

    Raises ConfigError for a place or key that does not exist, ReportError for runs that must not be compared.
    """
    finished, unfinished = find_runs(settings.runs, settings.where)
    cells = cells_of(comparing(finished, settings.part, claims=settings.claims is not None))
    effects, missing = all_effects(cells, settings.bootstrap)
    cells = [replace(cell, arms={arm: cell.arms[arm] for arm in arms_by_effect(cell, effects)}) for cell in cells]
    effects = _in_order(effects, cells)
    costs = [cost for cell in cells for cost in costs_of(cell)]
    measured = [artifacts_of(cell) for cell in cells]
    artifacts = [line for lines, _, _ in measured for line in lines]
    found_ladders = ladders(cells)
    breakdown, untold = breakdown_of(cells)
    notes = [note for cell in cells for note in _notes(cell)]
    unlike = [note for _, _, about in measured for note in about]
    return Aggregate(
        answers=tuple(answers(cells, effects, costs)),
        cells=tuple(cells),
        effects=tuple(effects),
        costs=tuple(costs),
        artifacts=tuple(artifacts),
        artifact_curves=tuple(each for _, curves, _ in measured for each in curves),
        parts=tuple(item for cell in cells for item in part_errors(cell)),
        breakdown=tuple(breakdown),
        other_frames=tuple(item for cell in cells for item in other_frames_of(cell)),
        noise=tuple(item for cell in cells for item in noise_of(cell)),
        ladders=tuple(found_ladders),
        convergence=tuple(item for each in found_ladders if each.axis is AXES[BUDGET] for item in convergence(each)),
        gains=tuple(gain_lines(cells, effects)),
        verdicts=tuple(verdicts(effects, costs, artifacts)) if settings.claims == PUBLISHED else (),
        unfinished=tuple(unfinished),
        notes=(*notes, *missing, *unlike, *untold),
    )


def _in_order(effects: Sequence[Effect], cells: Sequence[Cell]) -> list[Effect]:
    """By place; then against baseline before against controls, the best arm first."""
    places = list(dict.fromkeys(effect.place for effect in effects))
    order = {(cell.place, arm): number for cell in cells for number, arm in enumerate(cell.arms)}
    primary = (PRIMARY_FIRST[0].name, "mae")
    means = {(e.place[1:], e.arm): e.mean for e in effects if e.data == ALL_DATA and (e.prop, e.statistic) == primary}

    def key(effect: Effect) -> tuple[float, ...]:
        over_all = means.get((effect.place[1:], effect.arm), math.inf)
        rank = order.get((effect.place, effect.arm), over_all)
        return places.index(effect.place), effect.reference != BASELINE, rank

    return sorted(effects, key=key)


def _notes(cell: Cell) -> list[str]:
    notes = []
    if BASELINE not in cell.arms:
        notes.append(f"{cell.name}: no baseline run, so nothing can be compared.")
    for arm, reference in comparisons(cell):
        pairs = cell.common_seeds(arm, reference)
        alone = sorted((cell.arms[arm].keys() | cell.arms[reference].keys()) - set(pairs))
        if alone:
            notes.append(f"{cell.name}, {arm} against {reference}: left out without a partner: seeds {_listed(alone)}.")
    revisions = sorted({run.revision for run in cell.runs()})
    if len(revisions) > 1 or any(name.endswith("+") or name == "unknown" for name in revisions):
        notes.append(f"{cell.name}: runs of revisions {_listed(revisions)} (+: with local changes).")
    early = [run for run in cell.runs() if run.summary.get("stopped_by") == "early_stopping"]
    if early:
        notes.append(f"{cell.name}: {len(early)} of {len(cell.runs())} runs were stopped early by the same rule.")
    return notes


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
