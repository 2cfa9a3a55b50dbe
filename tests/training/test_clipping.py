"""Limits on the gradient: what is shortened, to what, and what is remembered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from scalarpath.training.clipping import QUANTILE, WINDOW, GradientClip


def clipped(clip: GradientClip, norm: float, dtype: torch.dtype = torch.float64) -> tuple[float, float]:
    """Norms before and after clipping two parameters whose gradients have ``norm`` together; a third has none."""
    parameters = [nn.Parameter(torch.zeros(2, 2, dtype=dtype)), nn.Parameter(torch.zeros(3, dtype=dtype))]
    parameters[0].grad = torch.full((2, 2), 0.6 * norm / 2, dtype=dtype)
    parameters[1].grad = torch.tensor([0.0, -0.8 * norm, 0.0], dtype=dtype)
    before = clip([*parameters, nn.Parameter(torch.ones(1))])
    after = torch.cat([p.grad.flatten() for p in parameters]).norm()
    return before.item(), after.item()


def test_a_number_is_the_largest_norm() -> None:
    assert clipped(GradientClip(2.0), 5.0) == pytest.approx((5.0, 2.0))
    assert clipped(GradientClip(2.0), 1.5) == pytest.approx((1.5, 1.5))
    assert clipped(GradientClip(None), 1e6) == pytest.approx((1e6, 1e6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_auto_is_the_lower_quartile_of_the_last_norms(dtype: torch.dtype) -> None:
    clip = GradientClip("auto")
    norms = np.exp(np.random.default_rng(0).normal(size=WINDOW + 30))
    for k, norm in enumerate(norms):
        before, after = clipped(clip, norm, dtype)
        limit = np.quantile(norms[max(0, k + 1 - WINDOW) : k + 1], QUANTILE)
        assert (before, after) == pytest.approx((norm, min(norm, limit)), rel=1e-5)


def test_auto_does_not_depend_on_the_units_of_the_loss() -> None:
    """Clipping commutes with a factor on the loss, as Adam's steps do."""
    one, thousand = GradientClip("auto"), GradientClip("auto")
    for norm in (1.0, 7.0, 0.2, 3.0):
        assert clipped(thousand, 1000 * norm)[1] == pytest.approx(1000 * clipped(one, norm)[1], rel=1e-5)


def test_auto_remembers_the_norms_with_the_weights() -> None:
    clip, copy = GradientClip("auto"), GradientClip("auto")
    for norm in (1.0, 2.0, 3.0):
        clipped(clip, norm)
    copy.load_state_dict(clip.state_dict())
    assert clipped(copy, 10.0) == clipped(clip, 10.0)
    assert not GradientClip(1.0).state_dict()  # of runs from before
