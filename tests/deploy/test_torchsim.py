"""TorchSim against ASE."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from samples import make_potential, quartz_like, silanol

from scalarpath.artifacts.dynamics import thermal_momenta
from scalarpath.core.errors import ConfigError, DataError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.potential import build_potential

ts = pytest.importorskip("torch_sim", reason="TorchSim is not installed: pip install 'scalarpath[torchsim]'")
from torch_sim.models.interface import validate_model_outputs  # noqa: E402

from scalarpath.deploy.torchsim import TorchSimModel  # noqa: E402

CPU = torch.device("cpu")


def states(*structures: Atoms, dtype: torch.dtype = torch.float64):
    return ts.io.atoms_to_state(list(structures), CPU, dtype)


def crystals() -> list[Atoms]:
    """Of different sizes and cells."""
    return [quartz_like(), quartz_like().repeat((1, 2, 1)), quartz_like()[[0, 2, 3]]]


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("float64", torch.float64)])
def test_it_passes_the_checks_of_torchsim(name, dtype):
    elements = [12, 14, 26]  # of the structures that they use
    potential = build_potential({**make_potential("panpgs").config, "species": elements, "dtype": name})
    potential.set_statistics(dict.fromkeys(elements, -1.0), scale=1.0, shift=0.0, avg_num_neighbors=15.0)
    model = TorchSimModel(potential.eval(), compute_stress=False)
    assert (model.dtype, model.device, model.compute_stress) == (dtype, CPU, False)
    validate_model_outputs(model, CPU, dtype)
    assert model.compute_stress


@pytest.mark.parametrize("kind", ["mace", "allegro"])
def test_energies_forces_and_stresses_are_those_of_ase(kind):
    potential = make_potential("panpgs", kind=kind)
    calculator, structures = ScalarPathCalculator(potential), crystals()
    out = TorchSimModel(potential)(states(*structures))
    energies = [calculator.get_property("energy", atoms) for atoms in structures]
    np.testing.assert_allclose(out["energy"], energies, atol=1e-10)
    forces = np.concatenate([calculator.get_property("forces", atoms) for atoms in structures])
    np.testing.assert_allclose(out["forces"], forces, atol=1e-10)
    for stress, atoms in zip(out["stress"].numpy(), structures, strict=True):
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        np.testing.assert_allclose(voigt, calculator.get_property("stress", atoms), atol=1e-10)


def test_molecules_and_states_as_dictionaries():
    potential = make_potential("baseline")
    calculator, structures = ScalarPathCalculator(potential), [silanol(), silanol()[:4]]
    model = TorchSimModel(potential)
    state = states(*structures)
    names = ("positions", "cell", "pbc", "atomic_numbers", "system_idx")
    for given in (state, {name: getattr(state, name) for name in names}):
        out = model(given)
        np.testing.assert_allclose(
            out["energy"], [calculator.get_property("energy", atoms) for atoms in structures], atol=1e-10
        )
        assert torch.isnan(out["stress"]).all()
    model.compute_stress = False
    assert out.keys() - model(state).keys() == {"stress"}


def test_dynamics_of_several_systems_are_those_of_ase():
    """From the same velocities, in one batch and one by one."""
    potential, structures = make_potential("baseline", scale=20.0), crystals()
    for seed, atoms in enumerate(structures):
        atoms.set_momenta(thermal_momenta(atoms, 300, seed))
    model, state = TorchSimModel(potential), states(*structures)
    step = torch.tensor(0.5e-3 * ts.units.MetalUnits.time, dtype=torch.float64)
    state, advance = nve(state, model, step)
    state.momenta = torch.tensor(np.concatenate([atoms.get_momenta() for atoms in structures]))
    for _ in range(20):
        state = advance(state)
    for atoms in structures:
        atoms.calc = ScalarPathCalculator(potential)
        VelocityVerlet(atoms, 0.5 * units.fs).run(20)
    begin, end = (np.concatenate([atoms.positions for atoms in each]) for each in (crystals(), structures))
    assert np.abs(end - begin).max() > 0.02
    cells = np.concatenate([[atoms.cell.array] * len(atoms) for atoms in structures])
    cells_away = np.einsum("np,npq->nq", state.positions.numpy() - end, np.linalg.inv(cells))  # TorchSim wraps
    away = np.einsum("np,npq->nq", cells_away - cells_away.round(), cells)
    assert np.abs(away).max() < 1e-6  # the two have other constants of nature


def nve(state, model, step):
    """A state with momenta, and what advances it by one step, in the way of this version of TorchSim."""
    heat = torch.tensor(0.01, dtype=torch.float64)
    if hasattr(ts, "nve_init"):
        return ts.nve_init(state, model, kT=heat), lambda now: ts.nve_step(now, model, dt=step)
    begin, advance = ts.integrators.nve(model, dt=step, kT=heat)  # before 0.4
    return begin(state), advance


def test_elements_that_are_not_known_are_named():
    with pytest.raises(DataError, match="atomic number 79"):
        TorchSimModel(make_potential("baseline"))(states(Atoms("Au", cell=[4, 4, 4], pbc=True)))
    with pytest.raises(ConfigError, match="dtype must be one of"):
        TorchSimModel(make_potential("baseline"), dtype="float16")


def test_the_example_runs(example):
    found = example("md_torchsim.py")
    assert len(found["structures"]) == 3
    assert found["final"].n_systems == 3
