"""The terms of a symmetric contraction that are not zero.

Selection rules leave few of them: of 816 products of three components up to degree 3, 77 make a scalar.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from scalarpath.nn.contraction.couplings import symmetric_basis

ZERO = 1e-10  # coefficients are of the order of one, and zeros of the rounding error


@dataclass(frozen=True)
class Monomials:
    """B_M = sum_t coefficient_t v_(left_t) v_(right_t) over the terms t of M.

    v are the number one, the components of A and, behind them, those products v_parent v_factor that are needed. The
    right factor is a component. Indices are int64.
    """

    parent: Tensor
    factor: Tensor
    left: Tensor  # [terms]
    right: Tensor
    first_term: Tensor  # of every M, and, last, the number of terms
    couplings: Tensor  # coefficients = couplings @ weights, float64 [terms, all K]


@functools.cache
def monomials(l_in: int, l_out: int, correlation: int) -> Monomials:
    """Terms of all L up to ``l_out`` and nu from ``correlation`` down to 1, whose K stand behind each other."""
    size = (l_in + 1) ** 2
    factors: list[tuple[int, ...]] = []  # of every term
    outputs: list[int] = []
    blocks = []
    for degree, nu in itertools.product(range(l_out + 1), range(correlation, 0, -1)):
        basis, mixing = symmetric_basis(l_in, degree, nu)
        ascending = torch.combinations(torch.arange(size), nu, with_replacement=True).view(-1, nu)
        values = basis[(slice(None), *ascending.T)] @ mixing  # [2 L + 1, combinations, K]
        row, column = (values.abs().amax(2) > ZERO).nonzero(as_tuple=True)
        own = [tuple(x) for x in ascending[column].tolist()]
        blocks.append(values[row, column] * torch.tensor([_orders(x) for x in own], dtype=torch.float64)[:, None])
        outputs += (degree**2 + row).tolist()
        factors += own
    products = {x[:length] for x in factors for length in range(2, len(x))}
    values_of = [(), *((a,) for a in range(size)), *sorted(products, key=lambda x: (len(x), x))]
    number = {x: k for k, x in enumerate(values_of)}
    # terms with the same left factor apart from each other, since what is added up for it has to be ready in between
    before: Counter[tuple[int, ...]] = Counter()
    keys = []
    for output, x in zip(outputs, factors, strict=True):
        keys.append((output, before[output, *x[:-1]], x))
        before[output, *x[:-1]] += 1
    order = sorted(range(len(keys)), key=lambda t: keys[t])
    index = lambda of: torch.tensor([number[x] for x in of], dtype=torch.int64)  # noqa: E731
    return Monomials(
        parent=index(x[:-1] for x in values_of[size + 1 :]),
        factor=index(x[-1:] for x in values_of[size + 1 :]),
        left=index(factors[t][:-1] for t in order),
        right=index(factors[t][-1:] for t in order),
        first_term=torch.searchsorted(torch.tensor(sorted(outputs)), torch.arange((l_out + 1) ** 2 + 1)),
        couplings=torch.block_diag(*blocks)[order],
    )


def _orders(factors: tuple[int, ...]) -> int:
    """In how many orders the factors can stand."""
    count = 1
    for k, x in enumerate(factors, start=1):
        count = count * k // factors[:k].count(x)
    return count
