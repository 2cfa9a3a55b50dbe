"""All arms of one seed start from the same potential, bit by bit."""

from __future__ import annotations

import pytest
import torch
from samples import HEADS, SMALL, batch_of, make_potential, quartz_like, silanol

OPTIONS = {
    "mace": {},
    "mace scalar": {"max_L": 0},
    "mace L=2": {"max_L": 2, "num_channels": 12},
    "mace 32 channels": {"num_channels": 32, "max_ell": 3},
    "mace density": {"interaction_first": "density", "interaction": "density_residual"},
    "mace nonlinear": {"interaction_first": "nonlinear", "interaction": "nonlinear", "envelope_on": "weights"},
    "nequip": {},
    "nequip parity": {"parity": True, "l_max": 2, "num_features": 16, "num_layers": 3},
    "allegro": {},
    "allegro 32 features": {"num_scalar_features": 32, "num_tensor_features": 16, "l_max": 2, "num_layers": 3},
    "allegro spline": {"two_body": "spline", "readout_mlp_hidden_layers_depth": 0},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backbone", OPTIONS)
@pytest.mark.parametrize("head", [name for name in HEADS if name != "baseline"])
def test_energies_forces_and_stress_equal_those_of_baseline(head, backbone, dtype):
    batch = batch_of(quartz_like(), silanol())
    kind, options = backbone.split()[0], OPTIONS[backbone]
    arm, baseline = (
        make_potential(name, kind=kind, dtype=dtype, awake=False, **options)(batch) for name in (head, "baseline")
    )
    for key, value in baseline.items():
        assert torch.equal(arm[key].nan_to_num(), value.nan_to_num()), key


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("head", HEADS)
def test_backbone_weights_depend_on_the_seed_and_not_on_the_head(head, kind):
    arm, baseline, other = (
        make_potential(name, kind=kind, awake=False, seed=seed)
        for name, seed in ((head, 1), ("baseline", 1), ("baseline", 2))
    )
    for a, b, c in zip(
        arm.backbone_parameters(), baseline.backbone_parameters(), other.backbone_parameters(), strict=True
    ):
        assert torch.equal(a, b)
        assert not torch.equal(b, c)


def test_heads_that_share_a_part_share_its_start():
    pan, both = make_potential("pan_node", awake=False), make_potential("panpgs", awake=False)
    assert torch.equal(pan.head.parts["node_gate"].w1, both.head.parts["node_gate"].w1)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("head", [name for name in HEADS if name != "baseline"])
def test_every_part_leaves_its_identity_with_the_first_gradient(head, kind):
    potential = make_potential(head, kind=kind, awake=False).train()
    out = potential(batch_of(quartz_like()))
    (out["energy"].square().sum() + out["forces"].square().sum()).backward()
    for name, part in potential.head.parts.items():
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters()), name
