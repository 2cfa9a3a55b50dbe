"""Unit and sign of the stress, where close frames do not tell: its size, and whether it grows with the cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from scalarpath.data.audit.facts import Facts, count_elements, ratio_of_elements
from scalarpath.data.audit.findings import OVERRULE, LabelAudit
from scalarpath.data.audit.units import other_sign, plausible_stress_units
from scalarpath.data.config import LabelSettings
from scalarpath.data.labels import LabelKeys, Labels, cell_volume
from scalarpath.data.reading import Frame
from scalarpath.graph.neighbours import cell_heights

HUGE_STRESS = 1.0  # eV/Å^3 = 160 GPa; a set whose median frame is beyond it is more likely in another unit
USUAL_STRESS = (2e-3, 0.6)  # eV/Å^3, median of a set: 0.3 to 100 GPa
MIN_FRAMES_FOR_SIGN = 5
VACUUM = 6.0  # Å; neighbouring layers of a crystal lie closer
MIN_VOLUME_SPREAD = 1.02  # largest over smallest volume per atom from which compression says something


def note_dropped_stress(audit: LabelAudit, frames: Sequence[Frame], facts: Facts) -> None:
    """Frames whose stress means nothing."""
    dropped = np.flatnonzero(facts["dropped_stress"])
    if dropped.size:
        audit.warnings.append(
            f"{dropped.size} frames carry a stress without being periodic in all directions "
            f"(first: {frames[dropped[0]].where}); it is ignored."
        )


def check_stress(
    audit: LabelAudit,
    frames: Sequence[Frame],
    labels: Sequence[Labels],
    facts: Facts,
    keys: LabelKeys,
    spec: LabelSettings,
    *,
    weighed: bool,
) -> None:
    """Suspect a stress that is too large by far, or that falls as the cell grows."""
    carried = np.flatnonzero(np.isfinite(facts["stress"][:, 0]))
    if not carried.size:
        return
    file = frames[carried[0]].file
    median = float(np.median(np.abs(facts["stress"][carried]).max(axis=1)))
    if median > HUGE_STRESS:
        units = [] if keys["virial"] else plausible_stress_units(median, spec, USUAL_STRESS)
        looks, way = f", which looks like {' or '.join(units)}", f"set data.stress_unit={' or '.join(units)}"
        audit.suspect(
            f"{file}: the median stress is {median:.3g} eV/Å^3{looks if units else ', far beyond what is usual'}; "
            f"{way if units else 'check its unit'}, {OVERRULE}.",
            weighed=weighed,
        )
    evidence = sign_evidence(frames, labels, carried.tolist())
    if evidence is not None and evidence < -0.7:
        way = "write the virial with the other sign" if keys["virial"] else f"set data.stress_sign={other_sign(spec)}"
        audit.suspect(
            f"{file}: stress falls as the cell grows (rank correlation {evidence:.2f}), so its sign looks opposite; "
            f"{way}, {OVERRULE}.",
            weighed=weighed,
        )


def sign_evidence(frames: Sequence[Frame], labels: Sequence[Labels], carried: Sequence[int]) -> float | None:
    """Rank correlation of tr(stress) with volume per atom among frames of one composition, averaged over compositions.

    Positive when stress is tension positive: a compressed cell pushes outwards. Cells with vacuum are left out, since
    their volume is not that of the material. A composition counts by its frames. None when volumes hardly vary.
    """
    groups: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for i in carried:
        if has_vacuum(frames[i].atoms):
            continue
        composition = ratio_of_elements(count_elements(frames[i].atoms))
        point = cell_volume(frames[i]) / len(frames[i].atoms), float(np.trace(labels[i].stress))
        groups.setdefault(composition, []).append(point)
    found = []
    for points in groups.values():
        volume, trace = np.array(points).T
        if len(volume) < MIN_FRAMES_FOR_SIGN or volume.max() < MIN_VOLUME_SPREAD * volume.min() or np.ptp(trace) == 0.0:
            continue
        ranks = [np.argsort(np.argsort(x)).astype(float) for x in (volume, trace)]
        found.append((len(volume), float(np.corrcoef(ranks)[0, 1])))
    return sum(n * evidence for n, evidence in found) / sum(n for n, _ in found) if found else None


def has_vacuum(atoms: Atoms) -> bool:
    """Whether a periodic cell has a gap without atoms wider than VACUUM along one of its axes: a slab, a molecule."""
    fractions = np.sort(atoms.get_scaled_positions(wrap=True), axis=0)
    gaps = np.diff(np.vstack([fractions, fractions[:1] + 1.0]), axis=0).max(axis=0)
    return bool((gaps * cell_heights(atoms.cell.array)).max() > VACUUM)
