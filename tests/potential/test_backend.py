"""A backend is compared with its potential fairly: from the same state, which training then goes on from."""

from __future__ import annotations

import pytest
import torch
from samples import batch_of, make_potential, quartz_like, silanol

from scalarpath.core.errors import TrainingError
from scalarpath.heads.descriptors import NeighbourhoodDescriptors
from scalarpath.potential import backend as module
from scalarpath.potential.backend import verify
from scalarpath.potential.parts import freeze

GRAPH = batch_of(quartz_like(), silanol())


class Itself:
    """A backend that is the potential, times ``factor``."""

    setting = "kernels=fake"

    def __init__(self, potential, factor: float = 1.0):
        self.potential, self.factor = potential, factor
        self.calls = 0

    def __call__(self, graph, **outputs):
        self.calls += 1
        return {key: self.factor * value for key, value in self.potential(graph, **outputs).items()}

    def require(self, graph):
        pass

    def message(self, problem):
        return problem


def loss(prediction):
    return sum(value.nan_to_num().square().mean() for value in prediction.values())


def potential_that_draws(monkeypatch):
    """With a head that counts its shuffles; torch's own generator disturbs the descriptors too."""
    forward = NeighbourhoodDescriptors.forward

    def noisy(self, geometry):
        local = forward(self, geometry)
        return local._replace(values=local.values + torch.randn(local.values.shape, dtype=local.values.dtype))

    monkeypatch.setattr(NeighbourhoodDescriptors, "forward", noisy)
    potential = make_potential("panpgs_shuffle", kind="mace", dtype="float64").train()
    with torch.no_grad():  # a head starts at zero, where no shuffle would be seen
        for parameter in potential.head_parameters():
            parameter.normal_(std=0.1)
    return potential


def test_a_potential_that_draws_random_numbers_agrees_with_itself(monkeypatch):
    backend = Itself(potential_that_draws(monkeypatch))
    once, again = (backend.potential(GRAPH)["energy"] for _ in range(2))
    assert not torch.allclose(once, again)  # or agreement would say nothing
    verify(backend, GRAPH, loss, forces=True, stress=True)
    assert backend.calls == 2  # for training and for validation


def test_what_is_frozen_has_no_gradient_to_compare():
    potential = make_potential("panpgs", kind="mace", dtype="float64").train()
    freeze(potential.parts(), ["embedding", "layer_1"])
    verify(Itself(potential), GRAPH, loss, forces=True, stress=True)
    with pytest.raises(TrainingError, match="differs from that of the plain potential"):
        verify(Itself(potential, 1.001), GRAPH, loss, forces=True, stress=True)


def test_this_is_not_so_unless_the_state_is_put_back(monkeypatch):
    potential = potential_that_draws(monkeypatch)
    monkeypatch.setattr(module, "_state_put_back", lambda potential: module.nullcontext())
    with pytest.raises(TrainingError, match=r"kernels=fake: .* differs from that of the plain potential"):
        verify(Itself(potential), GRAPH, loss, forces=True, stress=True)


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_training_goes_on_as_if_nothing_had_been_compared(monkeypatch, factor):
    potential = potential_that_draws(monkeypatch)
    before = {name: value.clone() for name, value in potential.state_dict().items()}
    generator = torch.get_rng_state()
    if factor == 1.0:
        verify(Itself(potential), GRAPH, loss, forces=True, stress=True)
    else:
        with pytest.raises(TrainingError):
            verify(Itself(potential, factor), GRAPH, loss, forces=True, stress=True)
    assert potential.training
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, before[name]) for name, value in potential.state_dict().items())
