"""Total energies by themselves: what no unit of eV can be, energies per atom, files and references that differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.units import Ha

from scalarpath.core.units import ENERGY_TO_EV
from scalarpath.data.audit.facts import Facts, largest
from scalarpath.data.audit.findings import OVERRULE, LabelAudit
from scalarpath.data.config import LabelSettings
from scalarpath.data.labels import LabelKeys
from scalarpath.data.reading import Frame
from scalarpath.graph.neighbours import neighbour_list

ALL_ELECTRONS = (
    1.1 * 0.7687 * Ha
)  # eV times Z^(7/3): Thomas-Fermi energy of an atom, more than any real one is bound by
SAME_ENERGY = 0.1  # relative difference of energies of cells of different sizes
SIZES = 1.5  # largest over smallest number of atoms from which energies per atom can be told
SHIFT = 0.5  # eV/atom between files
STRANGE_SHIFT = 15.0  # eV/atom; more than any solid is bound by
ALONE = 6.0  # Å to the nearest other atom
BINDING = (-15.0, 10.0)  # eV/atom, from isolated atoms to the median frame; solids have -9 to 0


def check_energies(
    audit: LabelAudit,
    frames: Sequence[Frame],
    facts: Facts,
    keys: LabelKeys,
    spec: LabelSettings,
    *,
    weighed: bool,
) -> None:
    """Energies that are zero, beyond all that electrons are bound by, per atom, or of another file's reference."""
    zero = np.flatnonzero((facts["energy"][:, 0] == 0.0) & (facts["atoms"] > 1))
    if zero.size:
        audit.suspect(
            f"{frames[zero[0]].where}: the energy is exactly 0 ({zero.size} such frames); "
            "leave a missing energy out, or set data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )
    gap = largest(facts["free_energy_gap"])
    if keys["energy"] == "energy" and gap is not None and facts["free_energy_gap"][gap] > 1e-6:
        audit.warnings.append(
            f"{frames[0].file}: 'free_energy' is there too and differs from 'energy' by up to "
            f"{facts['free_energy_gap'][gap]:.3g}; forces derive from the free energy, so consider "
            "data.energy_key=free_energy."
        )
    _check_size(audit, frames, facts, spec, weighed)
    _check_per_atom(audit, frames, facts, weighed)
    _check_files(audit, facts, weighed)


def _check_size(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, spec: LabelSettings, weighed: bool) -> None:
    bounds = np.array([sum(n * z ** (7 / 3) for z, n in counts.items()) for counts in facts.compositions])
    ratio = np.abs(facts["energy"][:, 0]) / (ALL_ELECTRONS * bounds[facts["composition"]])
    worst = largest(ratio)
    if worst is None or np.nanmedian(ratio) <= 1.0:
        return
    now = ENERGY_TO_EV[spec.energy_unit]
    units = sorted(
        (u for u, ev in ENERGY_TO_EV.items() if ev < now and ratio[worst] * ev / now < 1.0),
        key=ENERGY_TO_EV.__getitem__,
        reverse=True,
    )
    looks = f"set data.energy_unit={' or '.join(units)}" if units else "check data.energy_unit"
    audit.suspect(
        f"{frames[worst].where}: an energy of {facts['energy'][worst, 0]:.6g} eV is more than what all electrons of "
        f"{frames[worst].atoms.get_chemical_formula()} are bound by, so it is in another unit; {looks}, {OVERRULE}.",
        weighed=weighed,
    )


def _check_per_atom(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, weighed: bool) -> None:
    """Cells of different sizes whose energies are the same."""
    energy, atoms, kinds = facts["energy"][:, 0], facts["atoms"], facts.reduced_compositions()
    for kind in np.unique(kinds):
        chosen = np.flatnonzero((kinds == kind) & np.isfinite(energy) & (atoms > 1))
        sizes = np.unique(atoms[chosen])
        if sizes.size < 2 or sizes[-1] < SIZES * sizes[0] or len(chosen) < 2 * sizes.size:
            continue
        middle = np.array([np.median(energy[chosen[atoms[chosen] == n]]) for n in sizes])
        if np.ptp(middle) < SAME_ENERGY * np.abs(middle).min():
            audit.suspect(
                f"{frames[chosen[0]].file}: cells of {sizes[0]} and of {sizes[-1]} atoms have about the same energy "
                f"({middle[0]:.4g} and {middle[-1]:.4g} eV): these look like energies per atom; multiply them by the "
                f"number of atoms, {OVERRULE}.",
                weighed=weighed,
            )
            return


def _check_files(audit: LabelAudit, facts: Facts, weighed: bool) -> None:
    """Other reference energies in one file than in the first one, whose energies are fitted to the composition."""
    energy, atoms, file = facts["energy"][:, 0], facts["atoms"], facts["file"]
    usable = np.isfinite(energy) & (atoms > 1)
    if len(facts.files) < 2 or not usable[file == 0].any():
        return
    elements = list(facts.elements)
    counts = np.array([[c.get(z, 0) for z in elements] for c in facts.compositions], dtype=float)
    counts = counts[facts["composition"]] / atoms[:, None]
    first = usable & (file == 0)
    if first.sum() <= np.linalg.matrix_rank(counts[first]):  # the fit goes through every frame: no spread is known
        return
    inverse = np.linalg.pinv(counts[first])
    left = energy / atoms - counts @ (inverse @ (energy / atoms)[first])
    # a composition that the first file says nothing about cannot be compared
    told = np.abs(counts - counts @ (inverse @ counts[first])).max(axis=1) < 1e-6
    spread = float(np.ptp(np.percentile(left[first], [5, 95])))
    for number in range(1, len(facts.files)):
        chosen = usable & told & (file == number)
        shift = float(np.median(left[chosen]) - np.median(left[first])) if chosen.any() else 0.0
        if abs(shift) > max(SHIFT, 3 * spread):
            audit.suspect(
                f"{facts.files[number]}: its energies lie {shift:+.3g} eV/atom off those of {facts.files[0]}, which "
                f"vary by {spread:.2g}; are method, reference and unit the same? Convert one of them, {OVERRULE}.",
                weighed=weighed and abs(shift) > max(STRANGE_SHIFT, 10 * spread),
            )


def check_references(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, *, weighed: bool) -> None:
    """Isolated atoms whose energies cannot be of the same calculation as those of the other frames."""
    single = np.flatnonzero((facts["atoms"] == 1) & facts["sound"]).tolist()
    isolated = [i for i in single if not neighbour_list(frames[i].atoms, ALONE, frames[i].where).distance.size]
    if not isolated:
        return
    atom = {int(frames[i].atoms.numbers[0]): facts["energy"][i, 0] for i in isolated}
    sums = np.array([sum(n * atom.get(z, np.nan) for z, n in counts.items()) for counts in facts.compositions])
    binding = (facts["energy"][:, 0] - sums[facts["composition"]]) / facts["atoms"]
    binding = binding[np.isfinite(binding) & (facts["atoms"] > 1)]
    if binding.size and not BINDING[0] < np.median(binding) < BINDING[1]:
        audit.suspect(
            f"{frames[isolated[0]].where}: relative to isolated atoms the other frames have {np.median(binding):.4g} "
            "eV/atom, which no bond explains; are their energies of the same method and unit? Correct or remove the "
            f"isolated atoms, {OVERRULE}.",
            weighed=weighed,
        )
