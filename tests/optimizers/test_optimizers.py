"""What holds of every optimizer: its groups, its state, its weights in checkpoints."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_training import toy_config

from scalarpath.core.errors import ConfigError
from scalarpath.optimizers import build_optimizer
from scalarpath.runs.job import Job
from scalarpath.runs.sections import OptimizerSettings

OF_SOAP = {"basis_interval": 3, "basis_max_size": 64}
KINDS = ("adam", "adamw", "soap", "muon", "schedule_free")
SHAPES = [(2, 4, 4), (4, 4), (5,), (3, 6), (4, 6)]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def settings(kind: str, **changes: Any) -> OptimizerSettings:
    common = {"amsgrad": kind.startswith("adam"), "lr": 0.02, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95}
    return OptimizerSettings(kind=kind, **(common | (OF_SOAP if kind == "soap" else {}) | changes))


def parameters(dtype: torch.dtype) -> list[nn.Parameter]:
    return [nn.Parameter(drawn(*shape).to(dtype)) for shape in SHAPES]


def optimizer_of(kind: str, params: list[nn.Parameter]) -> Any:
    """The last two parameters are the head's."""
    optimizer: Any = build_optimizer(settings(kind), params[:-2], params[-2:])
    if kind == "schedule_free":
        optimizer.train()
    return optimizer


def advance(optimizer: Any, params: list[nn.Parameter], steps: range) -> None:
    for k in steps:
        for p in params:
            p.grad = drawn(*p.shape, seed=k).to(p.dtype)
        optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cut", [1, 3, 8])
def test_a_state_that_was_stored_goes_on_bit_by_bit(tmp_path, kind, cut, dtype):
    whole = parameters(dtype)
    advance(optimizer_of(kind, whole), whole, range(12))
    first = parameters(dtype)
    optimizer = optimizer_of(kind, first)
    advance(optimizer, first, range(cut))
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    second = [nn.Parameter(p.detach().clone()) for p in first]
    again = optimizer_of(kind, second)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    advance(again, second, range(cut, 12))
    assert all(torch.equal(p, q) for p, q in zip(second, whole, strict=True))
    assert all(p.dtype == dtype and torch.isfinite(p).all() for p in whole)


@pytest.mark.parametrize("kind", ["soap", "muon"])
def test_a_copy_does_not_share_its_state(kind):
    params = parameters(torch.float64)
    optimizer = optimizer_of(kind, params)
    advance(optimizer, params, range(3))
    twin = copy.deepcopy(optimizer)
    twins = [p for group in twin.param_groups for p in group["params"]]
    before = [optimizer.state[p]["mean"].clone() for p in params]
    advance(twin, twins, range(9, 10))
    assert all(torch.equal(optimizer.state[p]["mean"], mean) for p, mean in zip(params, before, strict=True))
    assert not any(torch.equal(p, q) for p, q in zip(params, twins, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_backbone_decays_and_the_head_does_not(kind):
    params = parameters(torch.float64)
    optimizer = optimizer_of(kind, params)
    for _ in range(4):
        for p in params:
            p.grad = torch.zeros_like(p)
        optimizer.step()
    for p, shape in zip(params, SHAPES, strict=True):
        ratio = (p.detach() / drawn(*shape)).flatten()
        assert torch.equal(p.detach(), drawn(*shape)) if p is params[-1] or p is params[-2] else (ratio < 1).all()


@pytest.mark.parametrize("kind", ["soap", "muon", "schedule_free"])
def test_a_parameter_without_gradient_stays(kind):
    used, unused = nn.Parameter(drawn(4, 4)), nn.Parameter(drawn(4, 4, seed=1))
    optimizer: Any = build_optimizer(settings(kind, weight_decay=0.0), [used, unused], [])
    if kind == "schedule_free":
        optimizer.train()
    advance(optimizer, [used], range(4))
    assert torch.equal(unused.detach(), drawn(4, 4, seed=1))
    assert torch.isfinite(used).all()


def test_schedule_free_follows_the_recursion_of_its_paper():
    """Algorithm 1 of arXiv:2405.15682: y between z and x, a gradient at y, Adam's step of z, x the mean of all z."""
    lr, (beta1, beta2), decay = 0.02, (0.9, 0.95), 0.1
    p = nn.Parameter(drawn(4, 3))
    optimizer: Any = build_optimizer(settings("schedule_free"), [p], [])
    optimizer.train()
    x, z, square, target = drawn(4, 3), drawn(4, 3), torch.zeros(4, 3, dtype=torch.float64), drawn(4, 3, seed=1)
    for step in range(1, 9):
        y = (1 - beta1) * z + beta1 * x
        torch.testing.assert_close(p.detach(), y, rtol=1e-12, atol=1e-14)
        gradient = (y - target) ** 3
        p.grad = (p.detach() - target) ** 3
        optimizer.step()
        square = beta2 * square + (1 - beta2) * gradient**2
        z = z - lr * (gradient / ((square / (1 - beta2**step)).sqrt() + 1e-8) + decay * y)
        x = x + (z - x) / step
    optimizer.eval()
    torch.testing.assert_close(p.detach(), x, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "muon", "amsgrad": True}, r"optimizer\.amsgrad=true belongs to adam and adamw; muon keeps no"),
        ({"kind": "soap", "amsgrad": False}, r"basis_interval and basis_max_size belong to optimizer=soap"),
        ({"kind": "muon", "amsgrad": False, **OF_SOAP}, r"basis_interval and basis_max_size belong to optimizer=soap"),
        ({"kind": "schedule_free", "amsgrad": False, "beta1": 0.0}, r"optimizer\.beta1 must be above 0"),
        ({"kind": "schedule_free", "amsgrad": False}, r"add scheduler=constant callbacks\.ema=null\."),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Job.read(toy_config(optimizer=changes))
