"""What a linear potential shows of itself: terms that add up, pair functions in eV, the charges that act."""

from __future__ import annotations

import copy
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from ase import Atoms
from samples import CUTOFF, batch_of, make_potential, quartz_like, silanol

from scalarpath.evaluation.linear_record import TWO_ATOMS, acting_charges, panels_of_linear
from scalarpath.evaluation.switched_off import ALL_PARTS, NETWORK, compressed, shares, switched_off
from scalarpath.potential import Potential

PAIRS = ["O-O", "O-Si", "Si-Si"]
GROUPS = [*(f"pair functions {pair}" for pair in PAIRS), "embedding functions", "products of densities"]


def frames():
    return batch_of(quartz_like(), silanol())


def curves(potential: Potential) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Distances and energies of two atoms, by label."""
    panel = panels_of_linear(potential, frames())[0]
    assert panel.title == TWO_ATOMS
    return {curve.label: (np.array(curve.x), np.array(curve.y)) for curve in panel.curves}


@pytest.mark.parametrize(("head", "charged"), [("linear", []), ("ctrl_linear", []), ("ionic", ["Coulomb energy"])])
def test_groups_of_terms_and_the_network_add_up_to_the_potential(head: str, charged: list[str]) -> None:
    potential, batch = make_potential(head), frames()
    rows = {row.part: row for row in shares(potential, switched_off(potential), batch)}
    assert list(rows) == [*GROUPS, *charged, ALL_PARTS, NETWORK]
    groups = [rows[name] for name in (*GROUPS, *charged)]
    assert all(row.energy_mean_meV_atom != 0.0 and row.forces_rms_meV_A > 0.0 for row in groups)
    assert sum(row.energy_mean_meV_atom for row in groups) == pytest.approx(rows[ALL_PARTS].energy_mean_meV_atom)
    assert sum(row.forces_share for row in groups) == pytest.approx(rows[ALL_PARTS].forces_share)
    assert rows[ALL_PARTS].forces_share + rows[NETWORK].forces_share == pytest.approx(1.0)
    out, references = potential(batch), potential.e0[potential.species_of(batch.z)]
    energies = torch.zeros(2, dtype=torch.float64).index_add(0, batch.batch, out["node_energy"] - references)
    per_atom = 1000 * (energies / torch.bincount(batch.batch)).mean().item()
    assert rows[ALL_PARTS].energy_mean_meV_atom + rows[NETWORK].energy_mean_meV_atom == pytest.approx(per_atom)


def test_what_is_left_without_all_terms_is_the_network_that_baseline_is() -> None:
    potential, plain = make_potential("ionic"), make_potential("baseline")
    left = potential.without(potential.part_names)(frames())
    torch.testing.assert_close(left["forces"], plain(frames())["forces"])
    row = shares(potential, switched_off(potential), frames())[-1]
    assert row.forces_rms_meV_A == pytest.approx(1000 * plain(frames())["forces"].square().mean().sqrt().item())


@pytest.mark.parametrize("head", ["linear", "ctrl_linear", "ionic"])
def test_pair_functions_are_sums_of_sines_over_distance_that_vanish_at_the_cutoff(head: str) -> None:
    potential = make_potential(head)
    acting = potential.linear.acting.detach().numpy().reshape(-1)
    m = np.arange(1, 15)
    for number, pair in enumerate(PAIRS):
        r, found = curves(potential)[pair]
        x = r / CUTOFF
        envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
        sines = np.sin(np.pi * m * x[:, None]) / r[:, None] * envelope[:, None]
        np.testing.assert_allclose(found, sines @ acting[14 * number : 14 * (number + 1)], atol=1e-12)
        assert found[-1] == pytest.approx(0.0, abs=1e-12)
        assert np.abs(found).max() > 1e-4


@pytest.mark.parametrize("cutoffs", [None, {"Si": 3.0, "O": {"Si": 3.5}}])
def test_a_pair_function_is_the_energy_of_two_atoms_of_which_nothing_else_is_kept(cutoffs: dict | None) -> None:
    potential = make_potential("ionic", pair_cutoffs=cutoffs)
    others = [name for name in potential.part_names if not name.startswith("pair functions")]
    kept, none = potential.without(others), potential.without(potential.part_names)
    for (a, b), pair in zip(combinations_with_replacement((8, 14), 2), PAIRS, strict=True):
        for label, whole in ((pair, kept), (f"{pair}, all terms", potential)):
            r, found = curves(potential)[label]
            for k in (0, 40, 80):
                dimer = batch_of(Atoms([a, b], [[0.0, 0.0, 0.0], [0.0, 0.0, r[k]]]))
                expected = whole(dimer)["energy"] - none(dimer)["energy"]
                assert found[k] == pytest.approx(expected.item(), abs=1e-12)


def test_pair_functions_begin_at_the_shortest_distance_of_the_pair_in_the_frames() -> None:
    shortest = {}
    for atoms in (quartz_like(), silanol()):
        distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
        for i, j in combinations_with_replacement(range(len(atoms)), 2):
            pair = "-".join(sorted(atoms.symbols[k] for k in (i, j)))
            if i != j:
                shortest[pair] = min(distances[i, j], shortest.get(pair, np.inf))
    for pair, (r, _) in curves(make_potential("linear")).items():
        assert r[0] == pytest.approx(shortest[pair.removesuffix(", all terms")])


def test_energies_by_kind_of_terms_are_those_that_go_when_they_are_off(monkeypatch) -> None:
    kept = {}
    monkeypatch.setattr(
        "scalarpath.evaluation.linear_record.energies_of_atoms",
        lambda title, energies, *_: kept.update({title: energies}),
    )
    potential = make_potential("ionic")
    panels_of_linear(potential, frames())
    kinds = ("pair functions", "embedding functions", "products of densities", "Coulomb energy")
    energy = potential(frames())["node_energy"]
    for kind, (title, found) in zip(kinds, kept.items(), strict=True):
        assert title.startswith(kind)
        off = potential.without([name for name in potential.part_names if name.startswith(kind)])
        torch.testing.assert_close(found, energy - off(frames())["node_energy"])


def test_the_charges_that_act_are_the_root_of_what_the_coulomb_energy_counts() -> None:
    potential = make_potential("ionic")
    potential.linear.coefficients[-1] = 0.36
    acting = acting_charges(potential)
    assert (acting.factor, acting.share) == pytest.approx((0.36, 0.6))
    assert acting.charges == pytest.approx({"O": -1.2, "Si": 2.4})
    assert acting.title == "Coulomb energy, 0.6 of the formal charges"
    assert acting.render().endswith("0.36 times that of the formal charges, as of charges O -1.20, Si +2.40 e.")
    potential.linear.coefficients[-1] = -0.1  # repulsion of unlike charges, which least squares may find
    acting = acting_charges(potential)
    assert np.isnan(acting.share)
    assert acting.title == "Coulomb energy, -0.1 times"
    assert acting.render().endswith("-0.1 times that of the formal charges.")
    assert acting_charges(make_potential("linear")) is None
    assert panels_of_linear(make_potential("panpgs"), frames()) == []


def test_a_crystal_is_drawn_with_the_linear_potential_alone_and_with_the_network_alone() -> None:
    potential, atoms = make_potential("linear"), quartz_like()
    off = switched_off(potential)
    whole, added = compressed("quartz", atoms, 1.0, {"a": potential}, off)
    assert [curve.label for curve in whole.curves] == ["a", f"without {ALL_PARTS}", f"without {NETWORK}"]
    assert [curve.label for curve in added.curves] == [*GROUPS, ALL_PARTS, NETWORK]
    by_name = {curve.label: np.array(curve.y) for curve in added.curves}
    np.testing.assert_allclose(sum(by_name[name] for name in GROUPS), by_name[ALL_PARTS], atol=1e-8)
    still = copy.deepcopy(potential)
    still.scale.zero_()
    assert whole.curves[2].y[10] == pytest.approx(
        (still(batch_of(atoms))["energy"].item() - e0(still, atoms)) / len(atoms)
    )


def e0(potential: Potential, atoms: Atoms) -> float:
    return float(potential.e0[potential.species_of(torch.as_tensor(atoms.numbers))].sum())
