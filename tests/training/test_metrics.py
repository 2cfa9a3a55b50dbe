"""Metrics: MAE and RMSE in meV units, over the labels that exist, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_training import ToyPotential, in_batches, labelled_graphs

from scalarpath.graph import collate
from scalarpath.training.evaluation import evaluate, trivial_errors
from scalarpath.training.metrics import EpochErrors
from scalarpath.training.summary import worse_than_trivial

NAN = float("nan")


def test_errors_agree_with_hand_computed_numbers() -> None:
    """Two frames of 8 atoms: energies off by +8 and -24 meV; one force component off by 48, one stress entry by 9."""
    batch = collate(labelled_graphs(2))
    prediction = {"energy": batch.energy.clone(), "forces": batch.forces.clone(), "stress": batch.stress.clone()}
    prediction["energy"] += torch.tensor([0.008, -0.024], dtype=torch.float64)
    prediction["forces"][5, 1] -= 0.048
    prediction["stress"][1, 0, 0] += 0.009
    errors = EpochErrors()
    errors.update(prediction, batch)
    assert errors.compute() == pytest.approx(
        {
            "energy_mae_meV_atom": (1 + 3) / 2,
            "energy_rmse_meV_atom": np.sqrt((1 + 9) / 2),
            "energy_labels": 2,
            "forces_mae_meV_A": 48 / 48,
            "forces_rmse_meV_A": 48 / np.sqrt(48),
            "forces_labels": 48,
            "stress_mae_meV_A3": 9 / 18,
            "stress_rmse_meV_A3": 9 / np.sqrt(18),
            "stress_labels": 18,
        },
        rel=1e-9,
    )


def test_missing_labels_are_not_counted_and_a_property_without_labels_is_absent() -> None:
    graphs = labelled_graphs(3)
    graphs[0].energy[:] = NAN
    graphs[1].forces[:] = NAN
    for graph in graphs:
        graph.stress[:] = NAN
    values = evaluate(ToyPotential(), in_batches(graphs, 2))
    assert values["energy_labels"] == 2
    assert values["forces_labels"] == 48
    assert not [name for name in values if name.startswith("stress")]
    assert all(np.isfinite(value) for value in values.values())


def test_a_batch_predicted_without_stress_counts_no_stress() -> None:
    batch = collate(labelled_graphs(1))
    errors = EpochErrors()
    errors.update({"energy": batch.energy, "forces": batch.forces}, batch)
    assert "stress_labels" not in errors.compute()


def test_test_errors_do_not_depend_on_the_batch_size() -> None:
    graphs = labelled_graphs(5) + labelled_graphs(1, repeat=2)
    results = [evaluate(ToyPotential(), in_batches(graphs, size)) for size in (1, 4, 100)]
    assert results[1] == pytest.approx(results[0], rel=1e-12)
    assert results[2] == pytest.approx(results[0], rel=1e-12)


def test_evaluation_leaves_the_mode_of_the_potential_and_needs_no_gradient_mode() -> None:
    potential, graphs = ToyPotential().train(), labelled_graphs(1)
    with torch.no_grad():
        evaluate(potential, in_batches(graphs, 1))
    assert potential.training


def test_a_perfect_potential_has_no_error() -> None:
    values = evaluate(ToyPotential(seed=99), in_batches(labelled_graphs(3), 2))
    assert max(value for name, value in values.items() if "labels" not in name) < 1e-9


def test_the_trivial_predictor_knows_element_energies_zero_forces_and_the_mean_stress() -> None:
    train, test = labelled_graphs(4), labelled_graphs(6)[4:]
    values = trivial_errors(train, test)
    mean = np.mean([float(graph.energy) / 8 for graph in train])
    energies = [1e3 * (float(graph.energy) / 8 - mean) for graph in test]
    forces = 1e3 * np.concatenate([graph.forces.numpy() for graph in test])
    assert values["energy_rmse_meV_atom"] == pytest.approx(np.sqrt(np.mean(np.square(energies))))
    assert values["forces_rmse_meV_A"] == pytest.approx(np.sqrt(np.mean(np.square(forces))))
    assert values["forces_mae_meV_A"] == pytest.approx(np.abs(forces).mean())
    assert 0 < values["stress_rmse_meV_A3"] < 1e3 * max(graph.stress.abs().max() for graph in test)


def test_a_run_that_is_no_better_than_the_trivial_predictor_says_so() -> None:
    good = {"test/energy_rmse_meV_atom": 5.0, "trivial/energy_rmse_meV_atom": 50.0}
    bad = {"test/forces_rmse_meV_A": 900.0, "trivial/forces_rmse_meV_A": 800.0}
    constant = {"test/stress_rmse_meV_A3": 1.0, "trivial/stress_rmse_meV_A3": 1e-12}
    assert worse_than_trivial(good) is None
    assert worse_than_trivial(constant) is None
    sentence = worse_than_trivial(good | bad)
    assert sentence is not None
    assert "about forces (900 instead of 800 meV/Å)" in sentence
