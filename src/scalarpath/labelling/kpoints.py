"""The k grid of a conventional cell, folded into a supercell of it."""

import numpy as np
from ase.dft.kpoints import monkhorst_pack

from scalarpath.core.errors import ConfigError


def folded_kpoints(grid: tuple[int, int, int], repeat: tuple[int, int, int]) -> np.ndarray:
    """k-points of a supercell that samples exactly the Bloch states of the conventional cell's grid.

    A point k of the cell becomes K = (k * repeat) mod 1 of the supercell, and a K of the supercell stands for
    ``prod(repeat)`` points of the cell. Both sets of states agree only if ``repeat`` divides ``grid``: a 3x3x3 grid in
    a doubled cell would silently become 6x3x3, another energy surface.

    ``grid``: Monkhorst-Pack grid of the conventional cell; ``repeat``: repetitions of the conventional cell. Returns
    fractional coordinates ``[prod(grid) / prod(repeat), 3]`` in (-1/2, 1/2], all of equal weight. Raises ConfigError
    when a repetition does not divide its grid dimension.
    """
    if any(n % r for n, r in zip(grid, repeat, strict=True)):
        raise ConfigError(
            f"supercell {repeat} does not divide the k grid {grid}, so its labels would lie on another energy surface; "
            "choose repetitions that divide the grid."
        )
    folded = monkhorst_pack(grid) * np.array(repeat)
    folded -= np.ceil(folded - 0.5 - 1e-9)
    return np.unique(folded.round(10), axis=0)
