"""Channels first and back: the same numbers in another order."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.contraction.channels_first import channels_first, per_degree

SIZES = [1, 3, 5]


def features() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, size, 2, generator=generator, dtype=torch.float64).requires_grad_() for size in SIZES]


def test_channels_come_first_then_components_of_all_degrees():
    given = features()
    assert torch.equal(channels_first(given), torch.cat(given, dim=1).permute(2, 1, 0))


def test_the_way_back_gives_what_went_in_and_contiguous():
    for before, after in zip(features(), per_degree(channels_first(features()), SIZES), strict=True):
        assert torch.equal(before, after)
        assert after.is_contiguous()


def test_both_differentiate_twice():
    def squared(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return per_degree(channels_first(given).square(), SIZES)

    assert gradcheck(squared, features())
    assert gradgradcheck(squared, features())
