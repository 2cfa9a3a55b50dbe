"""What a report says before any answer: which effects the seeds can show, and whether the trainings have converged."""

from __future__ import annotations

from scalarpath.core.metrics import TEST, TRAIN, VALIDATION
from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.report import ladders, noise
from scalarpath.report.aggregate import Aggregate


def development(found: Aggregate) -> str:
    """What a comparison by other than test errors is good for."""
    flattered = {
        VALIDATION: "the best epoch of every run and the heads themselves were chosen by them",
        TRAIN: "they tell what optimisation and capacity leave, and nothing of new frames",
    }
    closed = sum(run.is_closed for run in found.runs)
    state = f" The test part of {closed} of {len(found.runs)} runs is closed." if closed else ""
    return (
        f"Development, not a claim: all comparisons are by {found.part} errors; {flattered[found.part]}.{state} No "
        "test error is shown."
    )


def preface(found: Aggregate) -> list[str]:
    """What kind of comparison it is, and sentences on the first quantity that there is, of the longest trainings.

    The others are in the tables.
    """
    order = [quantity.name for quantity in PRIMARY_FIRST]
    said = [] if found.part == TEST else [development(found)]
    for key in dict.fromkeys(item.place[:2] for item in found.noise):
        places = list(dict.fromkeys(item.place for item in found.noise if item.place[:2] == key))
        inside = [item for item in found.noise if item.place == places[-1]]
        more = " The others are in the table of noise." if len(places) > 1 else ""
        said.append(noise.sentence(min(inside, key=lambda item: order.index(item.prop))) + more)
    for line in dict.fromkeys((item.place, item.arm) for item in found.convergence):
        items = [item for item in found.convergence if (item.place, item.arm) == line]
        said.append(ladders.sentence(min(items, key=lambda item: order.index(item.prop))))
    known = {(item.data, item.backbone) for item in found.convergence}
    single = dict.fromkeys(
        f"{cell.data} × {cell.backbone}" for cell in found.cells if (cell.data, cell.backbone) not in known
    )
    if single:
        said.append(
            f"{', '.join(single)}: one budget only, so nobody knows whether these trainings have converged; "
            "experiment=ladder tells (docs/training.md)."
        )
    return said
