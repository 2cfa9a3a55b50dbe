"""The fused sum over neighbours, against the sum written out, with its first and second derivatives."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.weighted_outer_sum import PathGroup, weighted_outer_sum

GROUPS = [PathGroup(0, slice(0, 1), 1), PathGroup(1, slice(1, 4), 2), PathGroup(1, slice(0, 1), 1)]
ATOMS, PLACES, CHANNELS, WIDTHS = 3, 2, (2, 3), (1, 3)


def draw() -> tuple[torch.Tensor, ...]:
    """Harmonics, weights per group, features per input."""
    generator = torch.Generator().manual_seed(0)

    def tensor(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    rows = ATOMS * PLACES
    weights = [tensor(rows, group.paths * CHANNELS[group.source]) for group in GROUPS]
    features = [tensor(rows, m, c) for m, c in zip(WIDTHS, CHANNELS, strict=True)]
    return (tensor(ATOMS, PLACES, 4), *weights, *features)


def fused(harmonics, *rest):
    return weighted_outer_sum(GROUPS, harmonics, rest[: len(GROUPS)], rest[len(GROUPS) :])


def test_it_is_the_sum_over_places_of_the_products():
    harmonics, *rest = draw()
    for k, (group, values) in enumerate(zip(GROUPS, fused(harmonics, *rest), strict=True)):
        h = rest[len(GROUPS) + group.source].view(ATOMS, PLACES, WIDTHS[group.source], -1)
        w = rest[k].view(ATOMS, PLACES, group.paths, -1)
        expected = torch.einsum("nkd,nkpc,nkmc->ndpmc", harmonics[:, :, group.where], w, h)
        torch.testing.assert_close(values, expected.flatten(2), rtol=1e-13, atol=1e-13)


def test_first_and_second_derivatives():
    inputs = draw()
    assert gradcheck(fused, inputs)
    assert gradgradcheck(fused, inputs)


def test_weights_may_be_columns_of_a_wider_matrix():
    harmonics, *rest = draw()
    joined = torch.cat(rest[: len(GROUPS)], dim=1)
    columns = joined.split([group.paths * CHANNELS[group.source] for group in GROUPS], dim=1)
    for ours, expected in zip(fused(harmonics, *columns, *rest[len(GROUPS) :]), fused(harmonics, *rest), strict=True):
        assert torch.equal(ours, expected)
