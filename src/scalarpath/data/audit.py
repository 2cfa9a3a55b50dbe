"""The label audit: what a data set carries, in which range, and what looks wrong about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from rich.table import Table
from rich.text import Text

from scalarpath.core.errors import DataError
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.units import STRESS_ORDERS
from scalarpath.data.config import LabelSettings
from scalarpath.data.labels import LabelKeys, Labels, cell_volume
from scalarpath.data.reading import Frame, available_keys
from scalarpath.graph.neighbours import cell_heights

NET_FORCE = 0.1  # eV/Å; a DFT grid leaves hundredths
HUGE_FORCE = 50.0  # eV/Å; atoms nearly on top of each other
HUGE_STRESS = 1.0  # eV/Å^3 = 160 GPa; a set whose median frame is beyond it is more likely in another unit
MIN_FRAMES_FOR_SIGN = 5
VACUUM = 6.0  # Å; neighbouring layers of a crystal lie closer
MIN_VOLUME_SPREAD = 1.02  # largest over smallest volume per atom from which compression says something
# what the audit keeps of every frame; NaN where the label is missing
FACTS = np.dtype(
    [
        ("atoms", "i8"),
        ("unperiodic", "?"),
        ("dropped_stress", "?"),
        ("ordered_stress", "?"),
        ("masked", "i8"),  # atoms without a force in a frame with forces
        ("free_energy_gap", "f8"),  # eV, |free energy - energy|; NaN without a free energy
        ("largest_force", "f8"),
        ("net_force", "f8"),
        *((name, "f8", 2) for name in QUANTITIES),  # smallest and largest component
    ]
)


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
    spec: LabelSettings,
    required: frozenset[str] = frozenset(),
    notes: Sequence[str] = (),
) -> LabelAudit:
    """Audit the labels of a data set; ``notes`` of those who read it stand first among the warnings.

    Raises DataError if a property in ``required`` (those the loss weighs) is carried by no frame, listing the keys that
    the file does have.
    """
    elements: Counter[int] = Counter()
    files: set[str] = set()
    facts = np.fromiter(_facts(frames, labels, elements, files), dtype=FACTS, count=len(frames))
    for name in sorted(required):
        if np.isnan(facts[name]).all():
            _raise_missing(name, frames, facts)
    largest = [_largest(facts[name]) for name in ("largest_force", "net_force")]
    audit = LabelAudit(
        files=sorted(files),
        frames=len(frames),
        atoms=int(facts["atoms"].sum()),
        elements={chemical_symbols[z]: count for z, count in sorted(elements.items())},
        properties=[_property(name, facts, keys, spec) for name in QUANTITIES],
        largest_force=None if largest[0] is None else float(facts["largest_force"][largest[0]]),
        largest_net_force=None if largest[1] is None else float(facts["net_force"][largest[1]]),
        warnings=list(notes),
    )
    _check_forces(audit, frames, facts, "forces" in required)
    _check_energies(audit, frames, facts, keys, "energy" in required)
    _check_stress(audit, frames, labels, facts, "stress" in required)
    return audit


def _facts(
    frames: Sequence[Frame], labels: Sequence[Labels], elements: Counter[int], files: set[str]
) -> Iterator[tuple[Any, ...]]:
    """FACTS of every frame, each frame being met once; ``elements`` and ``files`` are filled on the way."""
    for frame, label in zip(frames, labels, strict=True):
        elements.update(frame.atoms.numbers.tolist())
        files.add(frame.file)
        results = getattr(frame.atoms.calc, "results", {})
        free = results.get("free_energy")
        yield (
            len(frame.atoms),
            not np.all(frame.atoms.pbc),
            label.dropped_stress,
            label.ordered_stress,
            int(np.isnan(label.forces).any(axis=1).sum()) if label.has("forces") else 0,
            abs(free - results.get("energy", free)) if free else np.nan,
            np.fmax.reduce(np.linalg.norm(label.forces, axis=1)),
            np.linalg.norm(label.forces.sum(axis=0)),
            # fmin and fmax pass over NaN
            *((np.fmin.reduce(x, axis=None), np.fmax.reduce(x, axis=None)) for x in map(label.of, QUANTITIES)),
        )


def _largest(values: np.ndarray) -> int | None:
    """Index of the largest value, None if all are missing."""
    return None if np.isnan(values).all() else int(np.nanargmax(values))


def note_isolated_atoms(audit: LabelAudit, frames: Sequence[Frame], isolated: dict[int, int], cutoff: float) -> None:
    """Add a warning for frames with atoms that have no neighbour; ``isolated`` maps frame index to their number."""
    if isolated:
        first = next(iter(isolated))
        audit.warnings.append(
            f"{len(isolated)} frames hold atoms without a neighbour within {cutoff} Å (first: {frames[first].where}, "
            f"{isolated[first]} atoms); their energy is the reference E0 alone."
        )


def note_references(audit: LabelAudit, isolated: Sequence[Frame]) -> None:
    """Add a note for frames of one isolated atom, which give E0s."""
    symbols = ", ".join(sorted({frame.atoms.symbols[0] for frame in isolated}))
    audit.warnings.append(
        f"{len(isolated)} frames hold one isolated atom ({symbols}; first: {isolated[0].where}); they are "
        "references: E0s come from them unless data.e0s says otherwise, and no random split deals them out."
    )


def _raise_missing(name: str, frames: Sequence[Frame], facts: np.ndarray) -> None:
    keys = ", ".join(available_keys(frames)) or "none"
    unperiodic = np.flatnonzero(facts["unperiodic"])
    if name == "stress" and unperiodic.size:
        raise DataError(
            f"{frames[unperiodic[0]].where}: the loss weighs stress but this frame is not periodic and no other frame "
            f"carries a stress (keys: {keys}); give stress no weight or add periodic frames with stress."
        )
    raise DataError(
        f"{frames[0].file}: the loss weighs {name} but no frame carries it (keys: {keys}); "
        f"set data.{name}_key or give {name} no weight."
    )


def _property(name: str, facts: np.ndarray, keys: LabelKeys, spec: LabelSettings) -> PropertyAudit:
    unit = QUANTITIES[name].unit
    key, source_unit, sign = keys[name], getattr(spec, f"{name}_unit", unit), None
    if name == "stress":
        sign = spec.stress_sign
        if keys["virial"]:
            key, source_unit, sign = keys["virial"], spec.energy_unit, "virial = -V stress"
        if facts["ordered_stress"].any():
            sign += f", {STRESS_ORDERS[spec.order_of_six]}"
    values = facts[name] / facts["atoms"][:, None] if QUANTITIES[name].per_atom else facts[name]
    known = values[np.isfinite(values)]
    return PropertyAudit(
        name=name,
        key=key,
        frames=int(np.isfinite(values).all(axis=1).sum()),
        unit=unit,
        source_unit=source_unit,
        sign=sign,
        minimum=float(known.min()) if known.size else None,
        maximum=float(known.max()) if known.size else None,
    )


def _check_forces(audit: LabelAudit, frames: Sequence[Frame], facts: np.ndarray, weighed: bool) -> None:
    masked = np.flatnonzero(facts["masked"])
    if masked.size:
        audit.warnings.append(
            f"{frames[masked[0]].where}: atoms without a force (NaN): {facts['masked'][masked[0]]} in this frame, "
            f"{facts['masked'].sum()} of {facts['atoms'][masked].sum()} in {masked.size} such frames; "
            "they are left out of losses and errors."
        )
    where, where_net = _largest(facts["largest_force"]), _largest(facts["net_force"])
    if where is None:
        return
    largest = facts["largest_force"][where]
    if largest == 0.0:
        audit.suspect(
            f"{frames[where].file}: every force is exactly zero; leave them out, or set data.on_suspicious=warn.",
            weighed=weighed,
        )
    if largest > HUGE_FORCE:
        audit.warnings.append(f"{frames[where].where}: the largest force is {largest:.1f} eV/Å; is it wanted?")
    if where_net is not None and facts["net_force"][where_net] > NET_FORCE:
        audit.warnings.append(
            f"{frames[where_net].where}: forces add up to {facts['net_force'][where_net]:.2f} eV/Å instead of zero; "
            "a model whose forces derive from an energy cannot fit that."
        )


def _check_energies(
    audit: LabelAudit, frames: Sequence[Frame], facts: np.ndarray, keys: LabelKeys, weighed: bool
) -> None:
    zero = np.flatnonzero((facts["energy"][:, 0] == 0.0) & (facts["atoms"] > 1))
    if zero.size:
        audit.suspect(
            f"{frames[zero[0]].where}: the energy is exactly 0 ({zero.size} such frames); "
            "leave a missing energy out, or set data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )
    gap = _largest(facts["free_energy_gap"])
    if keys["energy"] == "energy" and gap is not None and facts["free_energy_gap"][gap] > 1e-6:
        audit.warnings.append(
            f"{frames[0].file}: 'free_energy' is there too and differs from 'energy' by up to "
            f"{facts['free_energy_gap'][gap]:.3g}; forces derive from the free energy, so consider "
            "data.energy_key=free_energy."
        )


def _check_stress(
    audit: LabelAudit, frames: Sequence[Frame], labels: Sequence[Labels], facts: np.ndarray, weighed: bool
) -> None:
    dropped, carried = np.flatnonzero(facts["dropped_stress"]), np.flatnonzero(np.isfinite(facts["stress"][:, 0]))
    if dropped.size:
        audit.warnings.append(
            f"{dropped.size} frames carry a stress without being periodic in all directions "
            f"(first: {frames[dropped[0]].where}); it is ignored."
        )
    if not carried.size:
        return
    median = float(np.median(np.abs(facts["stress"][carried]).max(axis=1)))
    if median > HUGE_STRESS:
        unit = "GPa" if median < 100 * HUGE_STRESS else "kbar"
        audit.suspect(
            f"{frames[carried[0]].file}: the median stress is {median:.3g} eV/Å^3, which looks like {unit}; "
            f"set data.stress_unit={unit}, or data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )
    evidence = sign_evidence(frames, labels, carried.tolist())
    if evidence is not None and evidence < -0.7:
        audit.suspect(
            f"{frames[carried[0]].file}: stress falls as the cell grows (rank correlation {evidence:.2f}), so its sign "
            "looks opposite; set data.stress_sign to the other one, or data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )


def sign_evidence(frames: Sequence[Frame], labels: Sequence[Labels], carried: Sequence[int]) -> float | None:
    """Rank correlation of tr(stress) with volume per atom among frames of one composition, averaged over compositions.

    Positive when stress is tension positive: a compressed cell pushes outwards. Cells with vacuum are left out, since
    their volume is not that of the material. A composition counts by its frames. None when volumes hardly vary.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for i in carried:
        if has_vacuum(frames[i].atoms):
            continue
        composition = frames[i].atoms.symbols.formula.reduce()[0].format("hill")
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
