"""Losses: weighted, masked per label, scheduled in two stages."""

from __future__ import annotations

import pytest
import torch
from toy_training import ToyPotential, labelled_graphs, toy_config

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import read_settings
from scalarpath.graph import collate
from scalarpath.runs.sections import LossSettings
from scalarpath.training.losses import WeightedLoss

NAN = float("nan")


def loss(**changes) -> WeightedLoss:
    return WeightedLoss(read_settings(LossSettings, {**toy_config()["loss"], **changes}, "loss"))


def batch_and_prediction():
    """Two frames of 8 atoms; predictions are off by 0.8 eV, 0.3 eV/Å, 0.01 eV/Å^3 everywhere."""
    batch = collate(labelled_graphs(2))
    prediction = {"energy": batch.energy + 0.8, "forces": batch.forces - 0.3, "stress": batch.stress + 0.01}
    return batch, prediction


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mse", 2 * 0.1**2 + 3 * 0.3**2 + 5 * 0.01**2),
        ("mae", 2 * 0.1 + 3 * 0.3 + 5 * 0.01),
        ("huber", 2 * 0.05 * (0.1 - 0.025) + 3 * 0.3**2 / 2 + 5 * 0.01**2 / 2),
    ],
)
def test_the_loss_is_the_weighted_sum_of_means_over_labels(kind: str, expected: float) -> None:
    delta = {"energy": 0.05, "forces": 1.0, "stress": 1.0} if kind == "huber" else None
    batch, prediction = batch_and_prediction()
    value = loss(kind=kind, energy=2.0, forces=3.0, stress=5.0, huber_delta=delta)(prediction, batch)
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_missing_labels_are_left_out_of_the_mean_and_of_the_gradient() -> None:
    batch, prediction = batch_and_prediction()
    batch.energy[0] = NAN
    batch.forces[3] = NAN
    batch.stress[1] = NAN
    prediction = {key: value.clone().nan_to_num(7.0).requires_grad_() for key, value in prediction.items()}
    value = loss()(prediction, batch)
    gradients = dict(zip(prediction, torch.autograd.grad(value, list(prediction.values())), strict=True))
    assert value.item() == pytest.approx(0.1**2 + 10 * 0.3**2 + 10 * 0.01**2)
    assert gradients["energy"][0] == 0
    assert (gradients["forces"][3] == 0).all()
    assert (gradients["stress"][1] == 0).all()
    assert gradients["forces"][4].norm() > 0


def test_the_penalties_of_a_frame_are_multiplied_by_its_weight() -> None:
    batch, prediction = batch_and_prediction()
    batch.frame = torch.tensor([3, 1])
    settings = loss(energy=2.0, forces=3.0, stress=5.0).settings
    values = [
        WeightedLoss(settings, torch.tensor([9.0, of_second, 9.0, of_first], dtype=torch.float64))(prediction, batch)
        for of_first, of_second in ((1.0, 1.0), (0.5, 0.0), (0.0, 0.5))
    ]
    plain = loss(energy=2.0, forces=3.0, stress=5.0)(prediction, batch)
    assert values[0] == plain
    # the predictions of both frames are off by as much
    assert values[1].item() == pytest.approx(plain.item() / 4)
    assert values[2].item() == pytest.approx(plain.item() / 4)


def test_a_batch_without_any_label_of_a_property_contributes_nothing() -> None:
    batch, prediction = batch_and_prediction()
    batch.stress[:] = NAN
    assert loss()(prediction, batch).item() == pytest.approx(0.1**2 + 10 * 0.3**2)


def test_the_gradient_of_a_masked_force_loss_reaches_the_parameters_finitely() -> None:
    graphs = labelled_graphs(2)
    graphs[0].forces[:] = NAN
    graphs[1].energy[:] = NAN
    batch, potential = collate(graphs), ToyPotential()
    loss()(potential(batch), batch).backward()
    for parameter in potential.parameters():
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.norm() > 0


def test_a_prediction_that_is_not_finite_is_not_masked() -> None:
    batch, prediction = batch_and_prediction()
    prediction["forces"][0, 0] = NAN
    assert loss()(prediction, batch).isnan()


def test_a_property_without_weight_need_not_be_predicted() -> None:
    batch, prediction = batch_and_prediction()
    del prediction["stress"]
    assert loss(stress=0.0)(prediction, batch).isfinite()


def test_stage_two_weights_hold_from_its_start_on() -> None:
    staged = loss(stage_two={"start": 0.5, "energy": 100.0, "forces": 0.0, "stress": 1.0})
    assert staged.weights(0.49) == {"energy": 1.0, "forces": 10.0, "stress": 10.0}
    assert staged.weights(0.5) == {"energy": 100.0, "forces": 0.0, "stress": 1.0}
    assert loss(stress=0.0, stage_two={"start": 0.5, "energy": 1, "forces": 1, "stress": 1}).settings.required == {
        "energy", "forces", "stress"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy": -1.0}, "loss.energy must be at least 0"),
        ({"energy": 0.0, "forces": 0.0, "stress": 0.0}, "loss weighs nothing"),
        ({"kind": "mean"}, "loss.kind must be one of mse, mae, huber"),
        ({"kind": "huber"}, "loss.huber_delta"),
        ({"stage_two": {"start": 1.5, "energy": 1, "forces": 1, "stress": 1}}, "loss.stage_two.start must be less"),
        ({"stage_two": {"start": 0.5, "energy": 0, "forces": 0, "stress": 0}}, "loss.stage_two weighs nothing"),
    ],
)
def test_impossible_settings_are_refused(changes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loss(**changes)
