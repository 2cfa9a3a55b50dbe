"""The whole audit of the labels of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols

from scalarpath.core.errors import DataError
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.units import STRESS_ORDERS
from scalarpath.data.audit import energies, outliers, stress
from scalarpath.data.audit.agreement import check_agreement, forces_agree
from scalarpath.data.audit.close_pairs import close_pairs
from scalarpath.data.audit.facts import Facts, gather, largest
from scalarpath.data.audit.findings import LabelAudit, PropertyAudit
from scalarpath.data.config import LabelSettings
from scalarpath.data.labels import LabelKeys, Labels
from scalarpath.data.reading import Frame, available_keys

NET_FORCE = 0.1  # eV/Å; a DFT grid leaves hundredths
HUGE_FORCE = 50.0  # eV/Å; atoms nearly on top of each other
_FORCES = ("largest_force", "net_force")


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
    facts = gather(frames, labels)
    for name in sorted(required):
        if np.isnan(facts[name]).all():
            _raise_missing(name, frames, facts)
    force, net = (None if np.isnan(x).all() else float(np.nanmax(x)) for x in map(facts.__getitem__, _FORCES))
    audit = LabelAudit(
        files=sorted(facts.files),
        frames=len(frames),
        atoms=int(facts["atoms"].sum()),
        elements={chemical_symbols[z]: count for z, count in facts.elements.items()},
        properties=[_property(name, facts, keys, spec) for name in QUANTITIES],
        largest_force=force,
        largest_net_force=net,
        warnings=list(notes),
    )
    weighed = {name: name in required for name in QUANTITIES}
    _check_forces(audit, frames, facts, weighed["forces"])
    pairs = close_pairs(frames, labels, facts)
    fits = check_agreement(audit, pairs, facts, keys, spec, required)
    energies.check_energies(audit, frames, facts, keys, spec, weighed=weighed["energy"])
    energies.check_references(audit, frames, facts, weighed=weighed["energy"])
    stress.note_dropped_stress(audit, frames, facts)
    if all(fit.stress is None for fit in fits.values()):
        stress.check_stress(audit, frames, labels, facts, keys, spec, weighed=weighed["stress"])
    if audit.suspicions:  # of a unit, which would make outliers of frames that are none
        return audit
    outliers.check_forces(audit, frames, facts, weighed=weighed["forces"])
    outliers.check_balance(audit, frames, facts, weighed=weighed["forces"])
    outliers.check_stress(audit, frames, facts, weighed=weighed["stress"])
    outliers.check_energies(audit, frames, facts, weighed=weighed["energy"])
    right = [facts.files.index(file) for file, fit in fits.items() if forces_agree(fit)]
    outliers.check_misfits(audit, frames, pairs, right, facts, weighed=weighed["energy"] and weighed["forces"])
    return audit


def note_isolated_atoms(audit: LabelAudit, frames: Sequence[Frame], isolated: dict[int, int], cutoff: float) -> None:
    """Add a warning for frames with atoms that have no neighbour; ``isolated`` maps frame index to their number."""
    if isolated:
        first = next(iter(isolated))
        audit.warnings.append(
            f"{len(isolated)} frames hold atoms without a neighbour within {cutoff} Å (first: {frames[first].where}, "
            f"{isolated[first]} atoms); their energy is the reference E0 alone."
        )


def note_references(audit: LabelAudit, isolated: Sequence[Frame], *, own_e0s: bool = False) -> None:
    """Add a note for frames of one isolated atom, which give E0s unless the potential has its own (``own_e0s``)."""
    symbols = ", ".join(sorted({frame.atoms.symbols[0] for frame in isolated}))
    use = (
        "E0s come from init_from"
        if own_e0s
        else "they are references: E0s come from them unless data.e0s says otherwise"
    )
    audit.warnings.append(
        f"{len(isolated)} frames hold one isolated atom ({symbols}; first: {isolated[0].where}); {use}, and no random "
        "split deals them out."
    )


def _raise_missing(name: str, frames: Sequence[Frame], facts: Facts) -> None:
    keys = ", ".join(available_keys(frames)) or "none"
    unperiodic = np.flatnonzero(~facts["periodic"])
    if name == "stress" and unperiodic.size:
        raise DataError(
            f"{frames[unperiodic[0]].where}: the loss weighs stress but this frame is not periodic and no other frame "
            f"carries a stress (keys: {keys}); give stress no weight or add periodic frames with stress."
        )
    raise DataError(
        f"{frames[0].file}: the loss weighs {name} but no frame carries it (keys: {keys}); "
        f"set data.{name}_key or give {name} no weight."
    )


def _property(name: str, facts: Facts, keys: LabelKeys, spec: LabelSettings) -> PropertyAudit:
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


def _check_forces(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, weighed: bool) -> None:
    masked = np.flatnonzero(facts["masked"])
    if masked.size:
        audit.warnings.append(
            f"{frames[masked[0]].where}: atoms without a force (NaN): {facts['masked'][masked[0]]} in this frame, "
            f"{facts['masked'].sum()} of {facts['atoms'][masked].sum()} in {masked.size} such frames; "
            "they are left out of losses and errors."
        )
    where, where_net = largest(facts["largest_force"]), largest(facts["net_force"])
    if where is None:
        return
    force = facts["largest_force"][where]
    if force == 0.0:
        audit.suspect(
            f"{frames[where].file}: every force is exactly zero; leave them out, or set data.on_suspicious=warn.",
            weighed=weighed,
        )
    if force > HUGE_FORCE:
        audit.warnings.append(f"{frames[where].where}: the largest force is {force:.1f} eV/Å; is it wanted?")
    if where_net is not None and facts["net_force"][where_net] > NET_FORCE:
        audit.warnings.append(
            f"{frames[where_net].where}: forces add up to {facts['net_force'][where_net]:.2f} eV/Å instead of zero; "
            "a model whose forces derive from an energy cannot fit that."
        )
