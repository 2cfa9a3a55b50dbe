"""Couplings of several factors of the atomic basis to one degree, and the basis of their symmetric parts."""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor

from scalarpath.nn.irreps import irrep, wigner_3j

# (l_out, l_left, l_right) for which e3nn 0.4.4, which mace-torch pins, has the other sign than e3nn 0.6 (all with
# degrees of at most three to the right and of the output). With them the couplings are upstream's own, column by
# column.
FLIPPED_W3J = {(1, 2, 2), (1, 3, 3), (2, 1, 2), (2, 2, 1), (3, 1, 3), (3, 3, 1)}


@functools.cache
def coupling_tensor(l_max: int, l_out: int, nu: int) -> Tensor:
    """All couplings of nu copies of (0..l_max) to l_out: float64 [2 l_out + 1, (l_max+1)^2 (nu times), K].

    Couples from left to right with component-normalised Clebsch-Gordan tensors; paths are sorted (stably) by the
    intermediate irrep after every step and none is dropped, which is upstream MACE's order (its use_reduced_cg=False).
    For nu = 4 only natural-parity intermediates are kept, as upstream does.
    """
    factors = [irrep(degree, (-1) ** degree) for degree in range(l_max + 1)]
    size = (l_max + 1) ** 2
    eye = torch.eye(size, dtype=torch.float64)
    paths = [(ir, eye[ir.l**2 : (ir.l + 1) ** 2]) for ir in factors]
    wanted = irrep(l_out, (-1) ** l_out)
    for step in range(nu - 1):
        extended = []
        for left, tensor in paths:
            for right in factors:
                for out in left * right:
                    if nu == 4 and out.p != (-1) ** out.l:
                        continue
                    if step == nu - 2 and out != wanted:  # nine in ten of the last step
                        continue
                    degrees = (out.l, left.l, right.l)
                    sign = -1.0 if degrees in FLIPPED_W3J else 1.0
                    w3j = wigner_3j(*degrees) * (sign * out.dim**0.5)
                    grown = torch.zeros(out.dim, *tensor.shape[1:], size, dtype=torch.float64)
                    grown[..., right.l**2 : (right.l + 1) ** 2] = torch.einsum("olr,l...->o...r", w3j, tensor)
                    extended.append((out, grown))
        paths = sorted(extended, key=lambda item: item[0])
    columns = [tensor for ir, tensor in paths if ir == wanted]
    if not columns:
        return torch.zeros(2 * l_out + 1, *[size] * nu, 1, dtype=torch.float64)
    return torch.stack(columns, dim=-1)


def symmetrised(coupling: Tensor) -> Tensor:
    """Symmetric part over the nu factors: [2 L + 1, n (nu times), K] -> matrix [(2 L + 1) n^nu, K]."""
    nu = coupling.dim() - 2
    permutations = itertools.permutations(range(1, nu + 1))
    return torch.stack([coupling.permute(0, *axes, nu + 1) for axes in permutations]).mean(0).flatten(0, -2)


@functools.cache
def symmetric_basis(l_max: int, l_out: int, nu: int) -> tuple[Tensor, Tensor]:
    """Orthonormal basis Q of the symmetric parts of the couplings U, and T with sym(U)_k = sum_r Q_r T_rk.

    A symmetric contraction sees only the symmetric part of U, whose columns are strongly dependent (the 23 couplings of
    three factors to a scalar at l_max 3 span 8 dimensions): the contraction runs over r, the weights stay over k.
    Q: float64 [2 l_out + 1, n (nu times), r]; T: [r, K].
    """
    coupling = coupling_tensor(l_max, l_out, nu)
    u, s, vt = torch.linalg.svd(symmetrised(coupling), full_matrices=False)
    keep = s > 1e-8
    return u[:, keep].view(*coupling.shape[:-1], -1), s[keep, None] * vt[keep]
