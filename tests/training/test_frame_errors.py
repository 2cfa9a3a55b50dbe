"""Errors of single test structures."""

from __future__ import annotations

import csv

import pytest
import torch
from samples import batch_of, quartz_like, silanol

from scalarpath.training.frame_errors import FrameErrors
from scalarpath.training.metrics import EpochErrors


def labelled_batch():
    batch = batch_of(quartz_like(), silanol())
    generator = torch.Generator().manual_seed(0)
    batch.energy = torch.tensor([1.0, torch.nan], dtype=torch.float64)
    batch.forces = torch.randn(batch.pos.shape, generator=generator, dtype=torch.float64)
    batch.stress = torch.full((2, 3, 3), torch.nan, dtype=torch.float64)
    batch.stress[0] = 0.01
    prediction = {
        "energy": torch.tensor([1.7, 3.0], dtype=torch.float64),
        "forces": torch.zeros_like(batch.forces),
        "stress": torch.zeros(2, 3, 3, dtype=torch.float64),
    }
    return prediction, batch


def table(errors: FrameErrors) -> list[dict[str, str]]:
    return list(csv.DictReader(errors.to_csv([4, 9], ["a", "b"]).splitlines()))


def test_a_row_holds_the_errors_of_its_structure_and_nothing_where_there_is_no_label():
    prediction, batch = labelled_batch()
    errors = FrameErrors()
    errors.update(prediction, batch)
    first, second = table(errors)
    assert (first["frame"], first["group"], first["atoms"]) == ("4", "a", "7")
    assert float(first["energy_error_meV_atom"]) == pytest.approx(700 / 7)
    assert float(first["stress_mae_meV_A3"]) == pytest.approx(10.0)
    assert float(second["forces_mae_meV_A"]) == pytest.approx(1e3 * batch.forces[7:].abs().mean().item(), rel=1e-5)
    rmse = 1e3 * batch.forces[7:].square().mean().sqrt().item()
    assert float(second["forces_rmse_meV_A"]) == pytest.approx(rmse, rel=1e-5)
    assert second["energy_error_meV_atom"] == second["stress_mae_meV_A3"] == ""


def test_the_mean_over_structures_weighted_by_their_labels_is_the_error_of_the_set():
    prediction, batch = labelled_batch()
    batch.forces[1:4] = torch.nan  # atoms without a label
    batch.forces[4, 0] = torch.nan
    frames, whole = FrameErrors(), EpochErrors()
    frames.update(prediction, batch)
    whole.update(prediction, batch)
    rows = table(frames)
    labels = [int(row["forces_labels"]) for row in rows]
    assert labels == [3 * 7 - 10, 3 * int(rows[1]["atoms"])]
    mean = sum(n * float(row["forces_mae_meV_A"]) for n, row in zip(labels, rows, strict=True)) / sum(labels)
    assert mean == pytest.approx(whole.compute()["forces_mae_meV_A"], rel=1e-5)
