"""Cells that stand out: a number that lost its dot makes a cell ten or a hundred times too large, and nothing fails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scalarpath.data.reading import Frame

FACTOR = 8.0  # in the volume; compression, melting and even evaporation into a gap stay below
MIN_FRAMES = 5  # of one composition, from which one of them can stand out
SHARE = 0.1  # if more stand out, volumes that differ are what the set is about


def odd_cells(frames: Sequence[Frame]) -> str | None:
    """One sentence about periodic frames whose volume is FACTOR times that of others with the same atoms, or None."""
    volumes: dict[str, list[tuple[int, float]]] = {}
    for i, frame in enumerate(frames):
        with np.errstate(over="ignore"):  # the neighbour search has a sentence for such cells
            volume = abs(float(np.linalg.det(frame.atoms.cell.array)))
        if np.all(frame.atoms.pbc) and volume > 0:
            volumes.setdefault(frame.atoms.symbols.formula.format("hill"), []).append((i, volume))
    odd: list[tuple[int, float, float]] = []
    for group in volumes.values():
        usual = float(np.median([volume for _, volume in group]))
        outside = [(i, v, usual) for i, v in group if not usual / FACTOR < v < usual * FACTOR]
        if len(group) >= MIN_FRAMES and len(outside) <= max(1, SHARE * len(group)):
            odd += outside
    if not odd:
        return None
    i, volume, usual = min(odd)
    lengths = ", ".join(f"{length:.4g}" for length in frames[i].atoms.cell.lengths())
    return (
        f"{frames[i].where}: the cell has {volume:.4g} Å^3 (lengths {lengths} Å), {volume / usual:.3g} times that of "
        f"other frames with the same atoms ({len(odd)} such frames); repair or remove it, or set "
        "data.on_suspicious=warn."
    )
