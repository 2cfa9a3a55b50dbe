"""MACE's symmetric contraction in a C++ kernel, from the terms that are not zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scalarpath.nn.contraction.monomials import Monomials
from scalarpath.nn.cpu import twice_differentiable
from scalarpath.nn.cpu.structs import Indices, Tensors
from scalarpath.nn.cpu.twice_differentiable import Kernel, empty_like_wanted
from scalarpath.nn.linear import SpeciesGroups


class Weighted(Protocol):
    """What the kernel reads of ``SymmetricContraction``."""

    l_out: int
    monomials: Monomials
    couplings: Tensor

    def weights_in_order(self) -> Tensor:
        """Weights of all L and nu behind each other [S, all K, C]."""


def kernel_contraction(contraction: Weighted, basis: Sequence[Tensor], groups: SpeciesGroups) -> list[Tensor]:
    """basis A per l [N, 2l + 1, C] -> per L [N, 2L + 1, C], see ``SymmetricContraction``."""
    terms, atoms = contraction.monomials, basis[0].shape[0]
    kernel = Contraction(
        atoms=atoms, channels=basis[0].shape[2], species=len(groups.counts), degrees=len(basis),
        outputs=contraction.l_out + 1, products=len(terms.parent), terms=len(terms.left),
        threads=torch.get_num_threads(), parent=terms.parent, factor=terms.factor, left=terms.left, right=terms.right,
        first_term=terms.first_term, order=torch.arange(atoms) if groups.order is None else groups.order,
        counts=torch.tensor(groups.counts),
    )  # fmt: skip
    coefficients = contraction.couplings @ contraction.weights_in_order()  # [S, terms, C]
    return list(twice_differentiable.apply(kernel, coefficients, *basis))


@dataclass
class Contraction(Kernel):
    """A function of the coefficients and of A of every degree."""

    name = "symmetric_contraction"

    atoms: int
    channels: int
    species: int
    degrees: int  # of A
    outputs: int  # degrees of the result
    products: int  # see ``Monomials``
    terms: int
    threads: int
    parent: Indices
    factor: Indices
    left: Indices
    right: Indices
    first_term: Indices
    order: Indices  # atoms by species
    counts: Indices  # atoms of every species

    def values(self, inputs: Tensors) -> list[Tensor]:
        """Room for the result of every degree."""
        return [inputs[0].new_empty(self.atoms, 2 * degree + 1, self.channels) for degree in range(self.outputs)]

    def derivatives(self, inputs: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for the gradients that are wanted."""
        return empty_like_wanted(inputs, wanted)

    def tangents(self, inputs: Tensors, given: Tensors) -> list[Tensor | None]:
        """The kernel spares itself coefficients without tangents, which are those of training on forces."""
        return [given[0], *super().tangents(inputs[1:], given[1:])]
