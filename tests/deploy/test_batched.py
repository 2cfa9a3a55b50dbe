"""Many structures at once: the numbers of the calculator, with neighbour lists that outlive a step."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from samples import CUTOFF, HEADS, make_potential, quartz_like, silanol

from scalarpath.artifacts.dynamics import Forces, Limits, Replica, run_dynamics, thermal_momenta
from scalarpath.core.errors import ConfigError, DataError, GraphError
from scalarpath.deploy import ScalarPathCalculator, batched
from scalarpath.deploy.batched import BatchedPotential, VerletList
from scalarpath.graph import AtomicGraph, neighbour_list


@pytest.fixture
def searches(monkeypatch) -> list[str]:
    """The structures for which neighbours were searched, by name, in the order of the searches."""
    made: list[str] = []

    def counting(atoms, cutoff, where):
        made.append(where)
        return original(atoms, cutoff, where)

    original = batched.neighbour_list
    monkeypatch.setattr(batched, "neighbour_list", counting)
    return made


def assert_same_as_calculator(potential, model: BatchedPotential, structures: list[Atoms]) -> None:
    energies, forces = model.evaluate(structures)
    assert len(energies) == len(forces) == len(structures)
    calculator = ScalarPathCalculator(potential, dtype="float64")
    for atoms, energy, force in zip(structures, energies, forces, strict=True):
        assert energy == pytest.approx(calculator.get_property("energy", atoms), abs=1e-10, rel=0)
        np.testing.assert_allclose(force, calculator.get_property("forces", atoms), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "head"), [("mace", head) for head in HEADS] + [("nequip", "panpgs"), ("allegro", "panpgs")]
)
def test_structures_of_all_sizes_and_cells_have_the_calculators_energies_and_forces(kind, head):
    potential = make_potential(head, kind=kind)
    lone = Atoms("SiO", [[0, 0, 0], [0, 0, CUTOFF + 0.5]])
    structures = [quartz_like(), silanol(), lone, bulk("Si", a=5.4), quartz_like().repeat((1, 2, 1))]
    assert_same_as_calculator(potential, BatchedPotential(potential), structures)


def test_atoms_that_cross_the_cutoff_and_the_cell_are_followed_without_a_new_search(searches):
    potential = make_potential("panpgs")
    model, rng = BatchedPotential(potential, skin=1.0), np.random.default_rng(0)
    structures = [quartz_like(), silanol()]
    structures[1].positions[0] += 20.0  # an atom out of reach
    counts = set()
    for _ in range(6):
        assert_same_as_calculator(potential, model, structures)
        counts.add(AtomicGraph.from_atoms(structures[0], CUTOFF).num_edges)
        for atoms in structures:
            atoms.positions += rng.uniform(-0.04, 0.04, atoms.positions.shape)
    assert len(counts) > 2  # pairs came and went
    assert searches == ["structure 0", "structure 1"]


def test_an_atom_that_moved_by_more_than_half_of_the_skin_makes_a_new_search(searches):
    potential = make_potential("baseline")
    model, structures = BatchedPotential(potential, skin=0.6), [quartz_like(), silanol()]
    model.evaluate(structures)
    structures[1].positions[2, 0] += 0.29
    model.evaluate(structures)
    assert searches == ["structure 0", "structure 1"]
    structures[1].positions[2, 0] += 0.02
    assert_same_as_calculator(potential, model, structures)
    assert searches == ["structure 0", "structure 1", "structure 1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda atoms: atoms.set_cell(atoms.cell.array * 1.001),
        lambda atoms: atoms.set_pbc((True, True, False)),
        lambda atoms: atoms.append("O"),
    ],
    ids=["cell", "pbc", "atoms"],
)
def test_another_structure_in_the_same_place_makes_a_new_search(searches, change):
    potential = make_potential("baseline")
    model, atoms = BatchedPotential(potential), quartz_like()
    model.evaluate([atoms])
    change(atoms)
    if len(atoms) > len(quartz_like()):
        atoms.positions[-1] = atoms.positions[0] + [0.9, 0.9, 0.9]
    assert_same_as_calculator(potential, model, [atoms])
    assert len(searches) == 2


def test_elements_may_change_places(searches):
    potential = make_potential("baseline")
    model, atoms = BatchedPotential(potential), quartz_like()
    before = model.evaluate([atoms])[0]
    atoms.numbers[:] = atoms.numbers[::-1].copy()
    assert_same_as_calculator(potential, model, [atoms])
    assert model.evaluate([atoms])[0] != before
    assert len(searches) == 1  # edges do not depend on elements


def test_a_skin_gives_out_the_edges_of_a_new_search_in_their_order():
    atoms, verlet = quartz_like(), VerletList(CUTOFF, 0.8)
    for seed in range(3):
        for ours, fresh in zip(verlet.neighbours(atoms), neighbour_list(atoms, CUTOFF), strict=True):
            np.testing.assert_allclose(ours, fresh, rtol=1e-14)
        atoms.rattle(0.1, seed=seed)


def test_a_replica_that_leaves_the_batch_leaves_the_others_right():
    potential = make_potential("baseline")
    model = BatchedPotential(potential)
    structures = [quartz_like(), silanol(), quartz_like().repeat((2, 1, 1))]
    for batch in (structures, structures[1:], structures[2:], structures):
        assert_same_as_calculator(potential, model, batch)


def test_atoms_that_meet_and_positions_that_are_no_numbers_are_refused_by_name():
    model, atoms = BatchedPotential(make_potential("baseline"), skin=8.0), quartz_like()
    model.evaluate([silanol(), atoms])
    for position in (atoms.positions[1] + 0.01, np.full(3, np.nan)):
        broken = atoms.copy()
        broken.positions[0] = position
        with pytest.raises(GraphError, match="structure 1"):
            model.evaluate([silanol(), broken])
    model.evaluate([silanol(), atoms])


def test_it_drives_dynamics_as_the_calculator_does():
    potential = make_potential("baseline", scale=0.02)
    model = BatchedPotential(potential)
    assert isinstance(model, Forces)
    limits = Limits(temperature_K=1e5, neighbour_distance_A=5.0)
    replicas = []
    for seed, atoms in enumerate((quartz_like(), silanol())):
        atoms.set_momenta(thermal_momenta(atoms, 300, seed))
        replicas.append(Replica(atoms, 0.5, 20, limits))
    together = run_dynamics(replicas, model)
    for run, replica in zip(together, replicas, strict=True):
        assert run.failure is None
        alone = run_dynamics([replica], BatchedPotential(potential, skin=0.0))[0]
        np.testing.assert_allclose(run.atoms.positions, alone.atoms.positions, rtol=0, atol=1e-10)


@pytest.mark.parametrize("trained", ["float32", "float64"])
def test_precision_can_be_chosen_and_the_source_stays_as_it_was(trained):
    potential = make_potential("panpgs", dtype=trained)
    single, double = (
        BatchedPotential(potential, dtype).evaluate([quartz_like()])[0] for dtype in ("float32", "float64")
    )
    assert single != double
    assert single == pytest.approx(double, abs=1e-3)
    assert all(parameter.requires_grad for parameter in potential.parameters())


def test_impossible_settings_and_elements_are_named():
    potential = make_potential("baseline")
    with pytest.raises(ConfigError, match=r"dtype must be one of .* not 'float16'"):
        BatchedPotential(potential, "float16")
    with pytest.raises(ConfigError, match="skin = -1"):
        BatchedPotential(potential, skin=-1)
    with pytest.raises(DataError, match="atomic number 79"):
        BatchedPotential(potential).evaluate([bulk("Au")])
    assert BatchedPotential(potential).evaluate([])[1] == []
