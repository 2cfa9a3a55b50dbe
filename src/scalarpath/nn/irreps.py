"""e3nn's irreps and Wigner 3j symbols. With e3nn comes torch's compiler, most of a second: they wait for a network.

So a wrong option of a backbone or head, whose modules are imported to look at it, is reported without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from e3nn import o3


def irrep(degree: int, parity: int) -> o3.Irrep:
    """The irrep of this degree and parity (1 or -1)."""
    from e3nn import o3

    return o3.Irrep(degree, parity)


def irreps(blocks: Sequence[tuple[int, Any]]) -> o3.Irreps:
    """Irreps from (channels, irrep); (degree, parity) is an irrep too."""
    from e3nn import o3

    return o3.Irreps(list(blocks))


def wigner_3j(l1: int, l2: int, l3: int) -> torch.Tensor:
    """Wigner 3j symbols in the real basis: float64 [2 l1 + 1, 2 l2 + 1, 2 l3 + 1]."""
    from e3nn import o3

    return o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
