"""Where the time of a step goes."""

from __future__ import annotations

import pytest
import torch
from samples import batch_of, make_potential, quartz_like

from scalarpath.cost.kinds import kinds
from scalarpath.cost.profile import shares
from scalarpath.cost.timing import inference_step, training_step
from scalarpath.nn.cpu import library
from scalarpath.nn.cpu.twice_differentiable import Kernel


def test_shares_of_a_profile_add_up_and_reach_the_parts_in_every_phase():
    unlabelled, potential = torch.Tensor.backward, make_potential("baseline")
    batch = batch_of(quartz_like())
    train = shares(potential, training_step(potential, batch), 1)
    assert sum(sum(row.values()) for row in train.values()) == pytest.approx(1.0)
    convolution = train["backbone.layers.1.convolution"]
    assert min(convolution[phase] for phase in ("forward", "forces", "backward")) > 0.001
    assert train["optimiser"]["optimiser"] > 0.001
    inference = shares(potential, inference_step(potential, batch), 1)
    assert all(row["backward"] == row["optimiser"] == 0.0 for row in inference.values())
    assert torch.Tensor.backward is unlabelled
    assert not any("forward" in vars(module) for module in potential.modules())


def test_a_step_is_matrix_products_kernels_and_a_rest():
    run, potential = Kernel.run, make_potential("baseline")
    work = kinds(training_step(potential, batch_of(quartz_like())), torch.float32, 1)
    parts = [work[key] for key in ("products_s", "kernels_s", "rest_s")]
    assert sum(parts) == pytest.approx(work["step_s"])
    assert parts[0] > 0.0
    assert (parts[1] > 0.0) == (library.library() is not None)
    assert 0.0 < work["step_of_peak"] < work["products_of_peak"]
    assert Kernel.run is run
