"""What every potential must obey, for every backbone and head."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from samples import CUTOFF, POTENTIALS, batch_of, make_potential, quartz_like, silanol
from scipy.spatial.transform import Rotation

pytestmark = pytest.mark.parametrize(("kind", "head"), POTENTIALS)


def predict(potential, *frames: Atoms) -> dict[str, np.ndarray]:
    return {key: value.detach().numpy() for key, value in potential(batch_of(*frames)).items()}


def transformed(atoms: Atoms, matrix: np.ndarray) -> Atoms:
    """Positions and cell mapped by an orthogonal matrix."""
    out = atoms.copy()
    out.positions = atoms.positions @ matrix.T
    out.cell = atoms.cell.array @ matrix.T
    return out


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["rotation", "rotation with inversion"])
def test_energy_is_invariant_and_forces_and_stress_rotate_along(kind, head, sign):
    potential, atoms = make_potential(head, kind=kind), quartz_like()
    matrix = sign * Rotation.random(random_state=1).as_matrix()
    before, after = predict(potential, atoms), predict(potential, transformed(atoms, matrix))
    if kind == "sevennet" and sign < 0.0:  # mirror_symmetry=false is meant to tell mirror images apart
        assert np.abs(after["node_energy"] - before["node_energy"]).max() > 1e-9
        return
    np.testing.assert_allclose(after["node_energy"], before["node_energy"], rtol=1e-11)
    np.testing.assert_allclose(after["forces"], before["forces"] @ matrix.T, atol=1e-11)
    np.testing.assert_allclose(after["stress"][0], matrix @ before["stress"][0] @ matrix.T, atol=1e-12)


def test_translation_and_wrapping_change_nothing(kind, head):
    potential, atoms = make_potential(head, kind=kind), quartz_like()
    before = predict(potential, atoms)
    atoms.positions += [3.1, -7.7, 0.4]
    atoms.wrap()
    after = predict(potential, atoms)
    np.testing.assert_allclose(after["energy"], before["energy"], rtol=1e-12)
    np.testing.assert_allclose(after["forces"], before["forces"], atol=1e-11)
    np.testing.assert_allclose(after["stress"], before["stress"], atol=1e-12)


def test_permuting_atoms_permutes_the_predictions(kind, head):
    potential, atoms = make_potential(head, kind=kind), quartz_like()
    order = np.random.default_rng(0).permutation(len(atoms))
    before, after = predict(potential, atoms), predict(potential, atoms[order])
    np.testing.assert_allclose(after["node_energy"], before["node_energy"][order], rtol=1e-12)
    np.testing.assert_allclose(after["forces"], before["forces"][order], atol=1e-11)


def test_a_frame_does_not_depend_on_its_batch(kind, head):
    potential, crystal, cluster = make_potential(head, kind=kind), quartz_like(), silanol()
    together = predict(potential, cluster, crystal, cluster)
    alone = predict(potential, crystal)
    n = len(cluster)
    np.testing.assert_allclose(together["energy"][1], alone["energy"][0], rtol=1e-12)
    np.testing.assert_allclose(together["forces"][n : n + len(crystal)], alone["forces"], atol=1e-11)
    np.testing.assert_allclose(together["stress"][1], alone["stress"][0], atol=1e-12)
    assert np.isnan(together["stress"][0]).all(), "a molecule has no stress"


def test_forces_are_minus_the_gradient_of_the_energy(kind, head):
    potential, atoms = make_potential(head, kind=kind), quartz_like()
    forces, step = predict(potential, atoms)["forces"], 1e-4
    numeric = np.zeros_like(forces)
    for i, k in np.ndindex(*forces.shape):
        energies = []
        for side in (step, -step):
            moved = atoms.copy()
            moved.positions[i, k] += side
            energies.append(predict(potential, moved)["energy"][0])
        numeric[i, k] = -(energies[0] - energies[1]) / (2 * step)
    assert np.abs(forces).max() > 0.01
    np.testing.assert_allclose(forces, numeric, atol=1e-6 * np.abs(forces).max())


def test_stress_is_the_strain_derivative_of_the_energy(kind, head):
    potential, atoms = make_potential(head, kind=kind), quartz_like()
    stress, step = predict(potential, atoms)["stress"][0], 1e-5
    numeric = np.zeros((3, 3))
    for i, k in np.ndindex(3, 3):
        energies = []
        for side in (step, -step):
            strain = np.eye(3)
            strain[i, k] += side
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(predict(potential, strained)["energy"][0])
        numeric[i, k] = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    numeric = 0.5 * (numeric + numeric.T)
    np.testing.assert_allclose(stress, numeric, atol=1e-6 * np.abs(stress).max())


def test_a_doubled_cell_has_twice_the_energy(kind, head):
    potential, atoms = make_potential(head, kind=kind), quartz_like()
    one, two = predict(potential, atoms), predict(potential, atoms * (2, 1, 1))
    np.testing.assert_allclose(two["energy"], 2 * one["energy"], rtol=1e-12)
    np.testing.assert_allclose(two["stress"], one["stress"], atol=1e-12)


def test_energy_is_smooth_where_an_atom_crosses_the_cutoff(kind, head):
    potential = make_potential(head, kind=kind)

    def at(distance: float) -> dict[str, np.ndarray]:
        return predict(potential, Atoms("SiOSi", [[0, 0, 0], [1.4, 0.8, 0.0], [0, 0, distance]]))

    def bend(key: str, border: float, step: float) -> float:
        """Second difference: falls with step^2 where the first derivative is continuous, with step at a kink."""
        left, middle, right = (at(border + side)[key] for side in (-step, 0.0, step))
        return np.abs(left - 2.0 * middle + right).max()

    # where the third atom leaves the first one, and where it leaves the second
    for border in (CUTOFF, np.sqrt(CUTOFF**2 - 1.4**2 - 0.8**2)):
        for key in ("energy", "forces"):
            assert bend(key, border, 1e-4) <= 0.03 * bend(key, border, 1e-3) + 1e-11, (key, border)


def test_an_isolated_atom_has_its_reference_energy(kind, head):
    potential = make_potential(head, kind=kind)
    for symbol, e0 in (("O", -2.0), ("Si", -1.0)):
        out = predict(potential, Atoms(symbol))
        if head != "nonlinear" and kind != "sevennet":  # both keep a part that no neighbour enters
            assert out["energy"][0] == pytest.approx(e0, abs=1e-12)
        assert not out["forces"].any()


def test_single_precision_second_derivatives_are_finite_for_near_and_far_atoms(kind, head):
    potential = make_potential(head, kind=kind, dtype="float32").train()
    near_and_far = Atoms("SiOSiO", [[0, 0, 0], [0, 0, 0.1], [0, 0, CUTOFF - 1e-4], [90.0, 0, 0]])
    lone_pair = Atoms("Si2", [[0, 0, 0], [0, 0, CUTOFF - 1e-6]])
    out = potential(batch_of(near_and_far, lone_pair))
    loss = out["energy"].square().sum() + out["forces"].square().sum()
    loss.backward()
    for name, parameter in potential.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert torch.isfinite(parameter.grad).all(), f"{name} has a non-finite gradient"


def test_a_molecule_in_the_batch_leaves_the_gradient_of_a_stress_loss_finite(kind, head):
    potential = make_potential(head, kind=kind).train()
    stress = potential(batch_of(quartz_like(), silanol()))["stress"]
    stress[stress.isfinite()].square().sum().backward()
    for name, parameter in potential.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_every_head_with_parts_acts_once_its_weights_move(kind, head):
    moved, start = (predict(make_potential(head, kind=kind, awake=awake), quartz_like()) for awake in (True, False))
    difference = np.abs(moved["forces"] - start["forces"]).max()
    assert (difference == 0.0) == (head in ("baseline", "density", "nonlinear"))
