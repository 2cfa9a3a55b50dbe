"""The label audit: what a data set carries, in which range, and what looks wrong about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from rich.table import Table
from rich.text import Text

from scalarpath.data.labels import PROPERTIES, LabelKeys, Labels, LabelSpec, cell_volume
from scalarpath.data.reading import Frame, available_keys
from scalarpath.errors import DataError

NET_FORCE = 0.1  # eV/Å; a DFT grid leaves hundredths
HUGE_FORCE = 50.0  # eV/Å; atoms nearly on top of each other
HUGE_STRESS = 1.0  # eV/Å^3 = 160 GPa; a set whose median frame is beyond it is more likely in another unit
MIN_FRAMES_FOR_SIGN = 5
MIN_VOLUME_SPREAD = 1.02  # largest over smallest volume per atom from which compression says something
INTERNAL_UNITS = {"energy": "eV/atom", "forces": "eV/A", "stress": "eV/A^3"}


@dataclass(frozen=True)
class PropertyAudit:
    """One property over the data set; the range is in ``unit`` (energy per atom), None where no frame carries it."""

    name: str
    key: str | None
    frames: int
    unit: str
    source_unit: str
    sign: str | None
    minimum: float | None
    maximum: float | None


@dataclass
class LabelAudit:
    """What the labels of a data set are.

    ``suspicions`` (about properties that the loss weighs) stop a run unless allowed; ``warnings`` are for reading.
    """

    files: list[str]
    frames: int
    atoms: int
    elements: dict[str, int]
    properties: list[PropertyAudit]
    largest_force: float | None
    largest_net_force: float | None
    warnings: list[str] = field(default_factory=list)
    suspicions: list[str] = field(default_factory=list)

    def suspect(self, text: str, *, weighed: bool) -> None:
        """Note what looks wrong: a suspicion if the loss weighs the property, else only a warning."""
        (self.suspicions if weighed else self.warnings).append(text)

    def to_json(self) -> dict[str, Any]:
        """Plain values only, for the run directory."""
        return asdict(self)

    def render(self) -> Table:
        """A rich table of the properties, with every warning and suspicion in its caption."""
        counts = ", ".join(f"{symbol} {count}" for symbol, count in self.elements.items())
        table = Table(title=f"Labels of {self.frames} frames, {self.atoms} atoms ({counts})", caption_justify="left")
        for column in ("property", "key", "frames", "minimum", "maximum", "unit", "read as"):
            table.add_column(column, justify="right" if column in ("frames", "minimum", "maximum") else "left")
        for item in self.properties:
            low, high = ("-" if x is None else f"{x:.4g}" for x in (item.minimum, item.maximum))
            source = item.source_unit if item.sign is None else f"{item.source_unit}, {item.sign}"
            table.add_row(
                item.name, Text(item.key or "-"), f"{item.frames}/{self.frames}", low, high, item.unit, source
            )
        notes = [f"note: {text}" for text in self.warnings] + [f"suspicious: {text}" for text in self.suspicions]
        table.caption = Text("\n".join(notes)) if notes else None  # Text: brackets in messages are no markup
        return table


def audit_labels(
    frames: Sequence[Frame],
    labels: Sequence[Labels],
    keys: LabelKeys,
    spec: LabelSpec,
    required: frozenset[str] = frozenset(),
) -> LabelAudit:
    """Audit the labels of a data set.

    Raises DataError if a property in ``required`` (those the loss weighs) is carried by no frame, listing the keys that
    the file does have.
    """
    carried = {name: [i for i, item in enumerate(labels) if item.has(name)] for name in PROPERTIES}
    for name in sorted(required):
        if not carried[name]:
            _raise_missing(name, frames, labels)
    numbers = np.concatenate([frame.atoms.numbers for frame in frames])
    forces = [(float(np.linalg.norm(labels[i].forces, axis=1).max()), i) for i in carried["forces"]]
    net = [(float(np.linalg.norm(labels[i].forces.sum(axis=0))), i) for i in carried["forces"]]
    audit = LabelAudit(
        files=sorted({frame.file for frame in frames}),
        frames=len(frames),
        atoms=int(numbers.size),
        elements={chemical_symbols[z]: count for z, count in sorted(Counter(numbers.tolist()).items())},
        properties=[_property(name, frames, labels, carried[name], keys, spec) for name in PROPERTIES],
        largest_force=max(forces)[0] if forces else None,
        largest_net_force=max(net)[0] if net else None,
    )
    _check_forces(audit, frames, forces, net, "forces" in required)
    _check_energies(audit, frames, labels, carried["energy"], keys, "energy" in required)
    _check_stress(audit, frames, labels, carried["stress"], "stress" in required)
    return audit


def note_isolated_atoms(audit: LabelAudit, frames: Sequence[Frame], isolated: dict[int, int], cutoff: float) -> None:
    """Add a warning for frames with atoms that have no neighbour; ``isolated`` maps frame index to their number."""
    if isolated:
        first = next(iter(isolated))
        audit.warnings.append(
            f"{len(isolated)} frames hold atoms without a neighbour within {cutoff} Å (first: {frames[first].where}, "
            f"{isolated[first]} atoms); their energy is the reference E0 alone."
        )


def _raise_missing(name: str, frames: Sequence[Frame], labels: Sequence[Labels]) -> None:
    keys = ", ".join(available_keys(frames)) or "none"
    unperiodic = next((frame for frame in frames if not np.all(frame.atoms.pbc)), None)
    if name == "stress" and unperiodic is not None:
        raise DataError(
            f"{unperiodic.where}: the loss weighs stress but this frame is not periodic and no other frame carries a "
            f"stress (keys: {keys}); give stress no weight or add periodic frames with stress."
        )
    raise DataError(
        f"{frames[0].file}: the loss weighs {name} but no frame carries it (keys: {keys}); "
        f"set data.{name}_key or give {name} no weight."
    )


def _property(
    name: str,
    frames: Sequence[Frame],
    labels: Sequence[Labels],
    carried: list[int],
    keys: LabelKeys,
    spec: LabelSpec,
) -> PropertyAudit:
    key, source_unit, sign = getattr(keys, name), getattr(spec, f"{name}_unit"), None
    if name == "stress":
        sign = spec.stress_sign
        if keys.virial:
            key, source_unit, sign = keys.virial, spec.energy_unit, "virial = -V stress"
    values = [np.ravel(getattr(labels[i], name) / (len(frames[i].atoms) if name == "energy" else 1)) for i in carried]
    joined = np.concatenate(values) if values else None
    return PropertyAudit(
        name=name,
        key=key,
        frames=len(carried),
        unit=INTERNAL_UNITS[name],
        source_unit=source_unit,
        sign=sign,
        minimum=None if joined is None else float(joined.min()),
        maximum=None if joined is None else float(joined.max()),
    )


def _check_forces(
    audit: LabelAudit,
    frames: Sequence[Frame],
    forces: list[tuple[float, int]],
    net: list[tuple[float, int]],
    weighed: bool,
) -> None:
    if not forces:
        return
    (largest, where), (largest_net, where_net) = max(forces), max(net)
    if largest == 0.0:
        audit.suspect(
            f"{frames[where].file}: every force is exactly zero; leave them out, or set data.on_suspicious=warn.",
            weighed=weighed,
        )
    if largest > HUGE_FORCE:
        audit.warnings.append(f"{frames[where].where}: the largest force is {largest:.1f} eV/Å; is it wanted?")
    if largest_net > NET_FORCE:
        audit.warnings.append(
            f"{frames[where_net].where}: forces add up to {largest_net:.2f} eV/Å instead of zero; "
            "a model whose forces derive from an energy cannot fit that."
        )


def _check_energies(
    audit: LabelAudit,
    frames: Sequence[Frame],
    labels: Sequence[Labels],
    carried: list[int],
    keys: LabelKeys,
    weighed: bool,
) -> None:
    zero = [i for i in carried if labels[i].energy == 0.0 and len(frames[i].atoms) > 1]
    if zero:
        audit.suspect(
            f"{frames[zero[0]].where}: the energy is exactly 0 ({len(zero)} such frames); "
            "leave a missing energy out, or set data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )
    free = [getattr(frame.atoms.calc, "results", {}).get("free_energy") for frame in frames]
    gaps = [abs(f - frame.atoms.calc.results.get("energy", f)) for f, frame in zip(free, frames, strict=True) if f]
    if keys.energy == "energy" and gaps and max(gaps) > 1e-6:
        audit.warnings.append(
            f"{frames[0].file}: 'free_energy' is there too and differs from 'energy' by up to {max(gaps):.3g}; forces "
            "derive from the free energy, so consider data.energy_key=free_energy."
        )


def _check_stress(
    audit: LabelAudit, frames: Sequence[Frame], labels: Sequence[Labels], carried: list[int], weighed: bool
) -> None:
    dropped = [i for i, item in enumerate(labels) if item.dropped_stress]
    if dropped:
        audit.warnings.append(
            f"{len(dropped)} frames carry a stress without being periodic in all directions "
            f"(first: {frames[dropped[0]].where}); it is ignored."
        )
    if not carried:
        return
    median = float(np.median([np.abs(labels[i].stress).max() for i in carried]))
    if median > HUGE_STRESS:
        unit = "GPa" if median < 100 * HUGE_STRESS else "kbar"
        audit.suspect(
            f"{frames[carried[0]].file}: the median stress is {median:.3g} eV/Å^3, which looks like {unit}; "
            f"set data.stress_unit={unit}, or data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )
    evidence = sign_evidence(frames, labels, carried)
    if evidence is not None and evidence < -0.7:
        audit.suspect(
            f"{frames[carried[0]].file}: stress falls as the cell grows (rank correlation {evidence:.2f}), so its sign "
            "looks opposite; set data.stress_sign to the other one, or data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )


def sign_evidence(frames: Sequence[Frame], labels: Sequence[Labels], carried: Sequence[int]) -> float | None:
    """Rank correlation of tr(stress) with volume per atom over the largest group of frames of one composition.

    Positive when stress is tension positive: a compressed cell pushes outwards. None when volumes hardly vary.
    """
    groups: dict[str, list[int]] = {}
    for i in carried:
        groups.setdefault(frames[i].atoms.symbols.formula.reduce()[0].format("hill"), []).append(i)
    members = max(groups.values(), key=len)
    volume = np.array([cell_volume(frames[i]) / len(frames[i].atoms) for i in members])
    if len(members) < MIN_FRAMES_FOR_SIGN or volume.max() < MIN_VOLUME_SPREAD * volume.min():
        return None
    trace = np.array([np.trace(labels[i].stress) for i in members])
    if np.ptp(trace) == 0.0:
        return None
    ranks = [np.argsort(np.argsort(x)).astype(float) for x in (volume, trace)]
    return float(np.corrcoef(ranks)[0, 1])
