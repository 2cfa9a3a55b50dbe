"""How far an atomic energy reaches."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from samples import CUTOFF, HEADS, batch_of, make_potential, quartz_like

CHAIN = Atoms("SiOSiOSi", [[0.0, 0.3 * (i % 2), 0.9 * CUTOFF * i] for i in range(5)])


def influence(potential, atoms: Atoms) -> torch.Tensor:
    """Largest derivative of atomic energy i by the position of atom j [N, N]."""
    batch = batch_of(atoms)
    batch.pos.requires_grad_(True)
    energies = potential(batch, forces=False, stress=False)["node_energy"]
    rows = [torch.autograd.grad(e, batch.pos, retain_graph=True, allow_unused=True)[0] for e in energies]
    return torch.stack([row.norm(dim=1) for row in rows])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layers", [1, 3])
def test_an_atomic_energy_of_allegro_depends_on_neighbours_within_one_cutoff_only(head, layers):
    potential = make_potential(head, kind="allegro", num_layers=layers)
    reached = influence(potential, CHAIN) > 0.0
    hops = torch.arange(5)
    assert torch.equal(reached, (hops[:, None] - hops).abs() <= 1)


@pytest.mark.parametrize(("kind", "layers"), [("mace", "num_interactions"), ("nequip", "num_layers")])
@pytest.mark.parametrize("head", ["baseline", "panpgs"])
def test_message_passing_reaches_one_cutoff_per_layer(head, kind, layers):
    potential = make_potential(head, kind=kind, **{layers: 2})
    reached = influence(potential, CHAIN) > 0.0
    hops = torch.arange(5)
    assert torch.equal(reached, (hops[:, None] - hops).abs() <= 2)


@pytest.mark.parametrize("kind", ["mace", "nequip", "allegro"])
def test_a_shorter_cutoff_for_a_pair_ends_its_interaction_there(kind):
    potential = make_potential("panpgs", kind=kind, pair_cutoffs={"Si": {"O": 2.0}, "O": 2.0})

    def energies(distance: float, pair: str) -> torch.Tensor:
        return potential(batch_of(Atoms(pair, [[0, 0, 0], [0, 0, distance]])))["node_energy"].detach()

    alone = torch.tensor([-1.0, -2.0], dtype=torch.float64)
    assert torch.equal(energies(2.01, "SiO"), alone)
    assert not torch.isclose(energies(1.9, "SiO"), alone).any()
    assert not torch.isclose(energies(2.01, "Si2"), alone[:1]).any(), "the other pair keeps the cutoff"


@pytest.mark.parametrize("kind", ["mace", "nequip", "allegro"])
@pytest.mark.parametrize("head", ["baseline", "panpgs"])
def test_pair_cutoffs_of_the_whole_length_change_nothing(kind, head):
    plain, spelled = (
        make_potential(head, kind=kind, pair_cutoffs=cutoffs)(batch_of(quartz_like()))
        for cutoffs in (None, {"Si": CUTOFF, "O": {"O": CUTOFF}})
    )
    torch.testing.assert_close(spelled["forces"], plain["forces"], rtol=1e-12, atol=1e-12)
