"""The fused sum over neighbours, against the sum written out, with its first and second derivatives."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.convolution import weighted_neighbour_sum
from scalarpath.nn.convolution.path_groups import GatedGroup, PathGroup, PlainGroup, TraceGroup

ATOMS, SLOTS, CHANNELS, WIDTHS = 3, 2, (2, 3), (1, 3)
GROUPS = [
    PlainGroup(0, slice(0, 1), 1),
    TraceGroup(1, slice(1, 4), 1),
    PathGroup(0, slice(1, 4), 1),
    PathGroup(1, slice(1, 4), 2),
    PlainGroup(1, slice(0, 1), 1),
    GatedGroup(0, slice(2, 3), 1),
]
NEIGHBOUR = torch.tensor([1, 2, 0, 0, 1, 0])


def draw() -> tuple[torch.Tensor, ...]:
    """Harmonics of degree 1, weights per group, features per input."""
    generator = torch.Generator().manual_seed(0)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    weights = [tensor(ATOMS * SLOTS, group.paths * CHANNELS[group.source]) for group in GROUPS]
    features = [tensor(ATOMS, m, c) for m, c in zip(WIDTHS, CHANNELS, strict=True)]
    return (tensor(ATOMS, SLOTS, 3), *weights, *features)


def fused(harmonics, *rest):
    # the harmonic of degree 0 is the constant 1
    with_constant = torch.cat([torch.ones_like(harmonics[:, :, :1]), harmonics], dim=2)
    weights, features = rest[: len(GROUPS)], rest[len(GROUPS) :]
    return weighted_neighbour_sum.weighted_neighbour_sum(GROUPS, NEIGHBOUR, with_constant, weights, features)


def test_it_is_the_sum_over_places_of_the_products():
    harmonics, *rest = draw()
    harmonics_0 = torch.cat([torch.ones_like(harmonics[:, :, :1]), harmonics], dim=2)
    for group, w, values in zip(GROUPS, rest, fused(harmonics, *rest), strict=False):
        y = harmonics_0[:, :, group.where]
        h = rest[len(GROUPS) + group.source][NEIGHBOUR].view(ATOMS, SLOTS, WIDTHS[group.source], -1)
        w = w.view(ATOMS, SLOTS, group.paths, -1)
        if isinstance(group, TraceGroup):
            expected = torch.einsum("nkm,nkpc,nkmc->npc", y, w, h)
        else:
            expected = torch.einsum("nkd,nkpc,nkmc->ndpmc", y, w, h).flatten(2)
        torch.testing.assert_close(values, expected.view_as(values), rtol=1e-13, atol=1e-13)


def test_first_and_second_derivatives():
    inputs = draw()
    assert gradcheck(fused, inputs)
    assert gradgradcheck(fused, inputs)


def test_atoms_in_batches_give_the_same(monkeypatch):
    def everything() -> list[torch.Tensor]:
        inputs = draw()
        values = fused(*inputs)
        first = torch.autograd.grad(sum(v.square().sum() for v in values), inputs, create_graph=True)
        return [*values, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), inputs)]

    whole = everything()
    monkeypatch.setattr(weighted_neighbour_sum, "BATCH", 1)
    for values, expected in zip(everything(), whole, strict=True):
        torch.testing.assert_close(values, expected, rtol=1e-13, atol=1e-13)
