"""Damaged labels: numbers that the atoms of their frame cannot give, or that do not fit similar frames.

Large numbers are right where atoms are close, as in scans of the repulsion. What atoms can do is therefore estimated
from their distances, with the universal screened Coulomb repulsion (Ziegler, Biersack, Littmark 1985), the strongest
force between atoms that there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase.units import Bohr, Ha

from scalarpath.data.audit.close_pairs import ClosePairs
from scalarpath.data.audit.facts import Facts
from scalarpath.data.audit.findings import OVERRULE, LabelAudit
from scalarpath.data.audit.work import NOISE, left_over
from scalarpath.data.reading import Frame
from scalarpath.graph.neighbours import neighbour_list

BOND_FORCE = 50.0  # eV/Å that bonds can give without repulsion of the cores
BOND_VIRIAL = 50.0  # eV per atom, likewise; a stress of 400 GPa in silicon
GENEROUS = 4.0  # times the estimated repulsion
REACH = 3.0  # Å of the repulsion
MOST_LOOKED_AT = 50  # frames, those with the largest numbers
SIMILAR_VOLUME = 0.1  # relative difference of the volumes per atom
FEWEST_SIMILAR = 8
STRANGE_ENERGY = 2.0  # eV/atom away from similar frames
STRANGE_MOLECULE = 10.0  # eV/atom; bonds may be broken
SPREADS = 10.0  # times the usual deviation
MANY = 0.05  # of the frames, from which a wrong unit is more likely than damage
BALANCED, UNBALANCED = 0.1, 1.0  # eV/Å, sum of the forces of most frames, and of one that stands out
LEFT_OVER = 0.1  # of the largest force, likewise
MISFIT, STRANGE_MISFIT = 0.02, 0.3  # eV/atom that energy and forces of close frames do not explain
MISFITS = 60.0  # times the usual misfit; frames far up the wall reach 30


class _Repulsion(NamedTuple):
    force: float  # eV/Å, largest sum over the neighbours of an atom
    virial: float  # eV, sum over all pairs


def check_forces(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, *, weighed: bool) -> None:
    """Suspect forces beyond what atoms at these distances can give; the worst frame is named."""
    found = {}
    for i in _beyond(facts["largest_force"], np.full(len(facts.frames), BOND_FORCE)):
        limit = BOND_FORCE + GENEROUS * _repulsion(frames[i]).force
        if facts["largest_force"][i] > limit:
            found[i] = limit
    if found:
        worst = max(found, key=lambda i: facts["largest_force"][i])
        usual = float(np.nanmedian(facts["largest_force"]))
        audit.suspect(
            f"{frames[worst].where}: a force of {facts['largest_force'][worst]:.3g} eV/Å, where atoms so close "
            f"give at most about {found[worst]:.2g} and half of the frames have at most {usual:.2g}"
            f"{_others(found)}; {_damaged(facts, found)}, {OVERRULE}.",
            weighed=weighed,
        )


def check_balance(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, *, weighed: bool) -> None:
    """Suspect forces that do not add up to zero where those of most frames with the same atoms do: shifted columns.

    Where all frames are like that, atoms were held fast.
    """
    net, kinds = facts["net_force"], facts["composition"]
    strange = net > np.maximum(UNBALANCED, LEFT_OVER * facts["largest_force"])
    found: dict[int, float] = {}
    for kind in np.unique(kinds[strange]):
        alike = (kinds == kind) & np.isfinite(net)
        usual = float(np.median(net[alike]))
        if alike.sum() >= FEWEST_SIMILAR and usual < BALANCED:
            found |= dict.fromkeys(np.flatnonzero(alike & strange).tolist(), usual)
    if found:
        worst = max(found, key=lambda i: net[i])
        audit.suspect(
            f"{frames[worst].where}: the forces add up to {net[worst]:.3g} eV/Å, where those of half of the frames "
            f"with the same atoms add up to at most {found[worst]:.1g}{_others(found)}; {_damaged(facts, found)}, "
            f"{OVERRULE}.",
            weighed=weighed,
        )


def check_stress(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, *, weighed: bool) -> None:
    """Suspect stresses beyond what atoms at these distances can give; the worst frame is named."""
    size, volume = np.abs(facts["stress"]).max(axis=1), facts["volume"]
    limits = BOND_VIRIAL * facts["atoms"] / volume
    found = {}
    for i in _beyond(size, limits):
        limit = limits[i] + GENEROUS * _repulsion(frames[i]).virial / volume[i]
        if size[i] > limit:
            found[i] = limit
    if found:
        worst = max(found, key=lambda i: size[i])
        audit.suspect(
            f"{frames[worst].where}: a stress of {size[worst]:.3g} eV/Å^3, where atoms so close give at most "
            f"about {found[worst]:.2g} and half of the frames have at most {np.nanmedian(size):.2g}{_others(found)}; "
            f"{_damaged(facts, found)}, {OVERRULE}.",
            weighed=weighed,
        )


def check_energies(audit: LabelAudit, frames: Sequence[Frame], facts: Facts, *, weighed: bool) -> None:
    """Suspect energies far from those of frames of the same composition and, if periodic, about the same volume.

    An energy may be higher where forces are larger than those of the others.
    """
    energy, kinds = facts["energy"][:, 0] / facts["atoms"], facts.reduced_compositions()
    volume = np.log(facts["volume"] / facts["atoms"])
    found: dict[int, float] = {}
    for periodic in (True, False):
        for kind in np.unique(kinds[facts["periodic"] == periodic]):
            alike = (kinds == kind) & (facts["periodic"] == periodic) & np.isfinite(energy) & (facts["atoms"] > 1)
            for members in _windows(np.flatnonzero(alike), volume if periodic else np.zeros(len(volume))):
                middle = np.median(energy[members])
                away = energy[members] - middle
                limit = max(STRANGE_ENERGY if periodic else STRANGE_MOLECULE, SPREADS * float(np.median(np.abs(away))))
                forces = facts["largest_force"][members]
                pushed = forces > 3.0 * np.nanmedian(forces) if np.isfinite(forces).any() else np.zeros(len(away), bool)
                for k in np.flatnonzero((away < -limit) | ((away > limit) & ~pushed)):
                    found[int(members[k])] = float(middle)
    if found:
        worst = max(found, key=lambda i: abs(energy[i] - found[i]))
        n = facts["atoms"][worst]
        audit.suspect(
            f"{frames[worst].where}: an energy of {n * energy[worst]:.6g} eV ({energy[worst]:.4g} per atom), where "
            f"frames like it have {n * found[worst]:.6g} ({found[worst]:.4g} per atom){_others(found)}; "
            f"{_damaged(facts, found)}, {OVERRULE}.",
            weighed=weighed,
        )


def check_misfits(
    audit: LabelAudit, frames: Sequence[Frame], pairs: ClosePairs, files: Sequence[int], facts: Facts, *, weighed: bool
) -> None:
    """Suspect frames whose energy or forces contradict those of all frames that are close to them.

    files: numbers of the files whose energies and forces agree apart from that.
    """
    pairs = pairs.where(np.isin(facts["file"][pairs.frames[:, 0]], files) & np.isfinite(left_over(pairs)))
    if not len(pairs.atoms):
        return
    left = np.abs(left_over(pairs)) / pairs.atoms
    scaled = left / (pairs.distance**2 + NOISE**2)
    strange = (scaled > MISFITS * np.median(scaled)) & (left > MISFIT)
    # up a wall the mean of two slopes is off by up to a quarter of their difference
    strange &= left * pairs.atoms > 0.4 * np.abs(pairs.bend)
    found = {}
    for i in np.unique(pairs.frames[strange]):
        own = (pairs.frames == i).any(axis=1)
        if own.sum() >= 2 and strange[own].all():
            found[int(i)] = int(own.sum())
    if found:
        worst = max(found, key=lambda i: (found[i], left[(pairs.frames == i).any(axis=1)].min()))
        own = (pairs.frames == worst).any(axis=1)
        audit.suspect(
            f"{frames[worst].where}: energy or forces contradict {found[worst]} frames that hardly differ from it, by "
            f"{left[own].min():.3g} eV/atom where {np.median(left):.1g} is usual{_others(found)}; "
            f"{_damaged(facts, found)}, {OVERRULE}.",
            weighed=weighed and float(left[own].min()) > STRANGE_MISFIT,
        )


def _windows(members: np.ndarray, volume: np.ndarray) -> list[np.ndarray]:
    """The members, parted where neighbouring volumes differ; then in windows of similar volume, each at its centre."""
    members = members[np.argsort(volume[members], kind="stable")]
    windows, start = [], 0
    while start < len(members):
        stop = int(np.searchsorted(volume[members], volume[members[start]] + SIMILAR_VOLUME, side="right"))
        if stop - start >= FEWEST_SIMILAR:
            windows.append(members[start:stop])
        start = stop
    return windows


def _beyond(size: np.ndarray, limit: np.ndarray) -> list[int]:
    """Indices of sizes beyond the limit, the largest first."""
    over = np.flatnonzero(size > limit)
    return over[np.argsort(-size[over])][:MOST_LOOKED_AT].tolist()


def _repulsion(frame: Frame) -> _Repulsion:
    edges = neighbour_list(frame.atoms, REACH, frame.where)
    z = frame.atoms.numbers[edges.edge_index].astype(float)
    length = 0.8854 * Bohr / (z[0] ** 0.23 + z[1] ** 0.23)
    x = edges.distance / length
    terms = [(0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4029), (0.02817, 0.2016)]
    screening = sum(a * np.exp(-b * x) for a, b in terms)
    slope = sum(a * b * np.exp(-b * x) for a, b in terms) / length
    force = Ha * Bohr * z[0] * z[1] / edges.distance * (screening / edges.distance + slope)
    on_atoms = np.bincount(edges.edge_index[0], weights=force, minlength=1)
    return _Repulsion(float(on_atoms.max()), 0.5 * float((force * edges.distance).sum()))


def _others(found: dict[int, float] | dict[int, int]) -> str:
    return f" ({len(found)} such frames)" if len(found) > 1 else ""


def _damaged(facts: Facts, found: dict[int, float] | dict[int, int]) -> str:
    if len(found) > max(1, MANY * len(facts.frames)):
        return "check the units"
    return "remove or repair this frame" if len(found) == 1 else "remove or repair these frames"
