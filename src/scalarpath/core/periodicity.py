"""What a sum over all images of charges needs: a structure that is periodic in all directions or in none."""

from __future__ import annotations

from collections.abc import Iterable

from scalarpath.core.errors import DataError


def require_periodicity(pbc: Iterable[bool], where: str | None = None) -> None:
    """Raise DataError for a structure that is periodic in part; ``where``: its file and frame, where they are known."""
    if len(set(map(bool, pbc))) > 1:
        place = "" if where is None else f"{where}: "
        raise DataError(
            f"{place}head.linear.charges need structures that are periodic in all directions or in none; remove "
            "structures that are periodic in one or two, or the charges."
        )
