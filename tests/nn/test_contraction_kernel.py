"""The symmetric contraction in C++ against the same in torch's operations."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.contraction.monomials import monomials
from scalarpath.nn.contraction.symmetric import SymmetricContraction
from scalarpath.nn.cpu import choice, library
from scalarpath.nn.linear import SpeciesGroups

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler here")


def contraction_of(*sizes: int, species: int, channels: int, atoms: int = 9):
    """Module, groups of atoms, and A per degree, in float64."""
    generator = torch.Generator().manual_seed(0)
    module = SymmetricContraction(*sizes, species, channels, generator)
    of_atoms = torch.randint(0, species, (atoms,), generator=generator)
    basis = [
        torch.randn(atoms, 2 * degree + 1, channels, generator=generator, dtype=torch.float64).requires_grad_()
        for degree in range(sizes[0] + 1)
    ]
    return module, SpeciesGroups.from_species(of_atoms, species), basis


def derivatives(module, groups, basis) -> list[torch.Tensor]:
    """Values, first derivatives by A, and derivatives of a loss on both by A and the weights."""
    out = module(basis, groups)
    first = torch.autograd.grad(sum(x.pow(3).sum() for x in out), basis, create_graph=True)
    loss = sum(x.square().sum() for x in first) + sum(x.sin().sum() for x in out)
    return [*out, *first, *torch.autograd.grad(loss, [*basis, *module.parameters()])]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("sizes", "species", "channels"),
    [((3, 1, 3), 1, 20), ((3, 0, 3), 3, 8), ((2, 2, 2), 2, 5), ((1, 1, 4), 1, 3), ((2, 1, 1), 2, 17)],
)
def test_values_and_derivatives_are_those_of_torch_operations(sizes, species, channels, threads):
    arguments = contraction_of(*sizes, species=species, channels=channels)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        ours = derivatives(*arguments)
        with choice.in_torch_operations():
            theirs = derivatives(*arguments)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12 * float(b.detach().abs().max()))


def test_first_and_second_derivatives_are_those_of_finite_differences():
    module, groups, basis = contraction_of(1, 1, 3, species=2, channels=3, atoms=3)
    names, weights = zip(*module.named_parameters(), strict=True)

    def function(*inputs):
        own = dict(zip(names, inputs[len(basis) :], strict=True))
        return tuple(torch.func.functional_call(module, own, (inputs[: len(basis)], groups)))

    assert gradcheck(function, (*basis, *weights), fast_mode=True)
    assert gradgradcheck(function, (*basis, *weights), fast_mode=True)


def test_atoms_of_a_species_that_is_not_there_take_no_weights():
    module, _, basis = contraction_of(1, 0, 2, species=2, channels=4)
    groups = SpeciesGroups.from_species(torch.ones(len(basis[0]), dtype=torch.int64), 2)
    sum(x.sum() for x in module(basis, groups)).backward()
    for weight in module.parameters():
        assert not weight.grad[0].any()
        assert weight.grad[1].any()


def test_selection_rules_leave_few_terms():
    """Of 816 products of three components, 136 of two and 16 of one."""
    assert monomials(3, 0, 3).first_term.tolist() == [0, 77 + 16 + 1]
    assert len(monomials(3, 1, 3).left) == 94 + 278 + 35 + 3
