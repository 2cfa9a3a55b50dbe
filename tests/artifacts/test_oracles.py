"""The analytic reference potentials: exact gradients, smooth ends, and the crystals that their authors published."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from scipy.optimize import minimize_scalar

from scalarpath.artifacts.oracles import COULOMB, BornMayerLithiumFluoride, oracle, switch
from scalarpath.core.errors import ArtifactError

CRYSTALS = {
    "si_sw": ("Si", "diamond", 5.431),
    "ag_eam": ("Ag", "fcc", 4.085),
    "lif_bm": ("LiF", "rocksalt", 4.044),
}
names = pytest.mark.parametrize("name", CRYSTALS)


def crystal(name: str, a: float | None = None) -> Atoms:
    formula, structure, a0 = CRYSTALS[name]
    atoms = bulk(formula, structure, a=a or a0, cubic=True)
    atoms.calc = oracle(name)()
    return atoms


def rattled(name: str) -> Atoms:
    atoms = crystal(name)
    atoms.rattle(0.25, seed=2)
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.03, 0], [0, 0.98, 0.01], [0, 0, 1.01]], scale_atoms=True)
    return atoms


@names
def test_forces_are_minus_the_gradient_of_the_energy(name):
    atoms = rattled(name)
    assert np.abs(atoms.get_forces()).max() > 0.5
    np.testing.assert_allclose(calculate_numerical_forces(atoms, eps=1e-4), atoms.get_forces(), rtol=1e-6, atol=1e-6)


@names
def test_stress_is_the_strain_derivative_of_the_energy_per_volume(name):
    atoms = rattled(name)
    stress = atoms.get_stress()
    assert np.abs(stress).max() > 5e-3
    np.testing.assert_allclose(calculate_numerical_stress(atoms, eps=1e-5), stress, atol=1e-7)


@names
def test_atomic_energies_add_up_and_a_supercell_has_as_many_times_the_energy(name):
    atoms = rattled(name)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    double = atoms.repeat((2, 1, 1))
    double.calc = oracle(name)()
    assert double.get_potential_energy() == pytest.approx(2 * energy, rel=1e-12)
    assert atoms.get_potential_energies().sum() == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(double.get_forces()[: len(atoms)], forces, atol=1e-10)


@names
@pytest.mark.parametrize("shape", ["dimer", "trimer"])
def test_energy_force_and_curvature_go_to_zero_at_the_cutoff_without_a_step(name, shape):
    """A neighbour leaves an otherwise lone atom, or one that keeps another neighbour: no jump in F, none in dF/dr."""
    symbols = {"si_sw": ["Si"], "ag_eam": ["Ag"], "lif_bm": ["Li", "F"]}[name]
    calculator = oracle(name)()

    def force(r: float) -> float:
        positions = [[0, 0, 0], [r, 0, 0], [0, 2.5, 0]][: 2 if shape == "dimer" else 3]
        atoms = Atoms((symbols * 3)[: len(positions)], positions, calculator=calculator)
        rest = atoms[[0, 2]] if shape == "trimer" else None
        value = atoms.get_forces()[0, 0]
        if rest is not None:
            rest.calc = oracle(name)()
            value -= rest.get_forces()[0, 0]
        return value

    h = 1e-4
    ends = [calculator.cutoff]
    if hasattr(calculator, "switch_start"):
        ends.append(calculator.switch_start)
    for end in ends:
        inside, at, outside = force(end - h), force(end), force(end + h)
        assert abs(inside - at) < 1e-4
        assert abs(outside - at) < 1e-4
        slopes = (at - inside) / h, (outside - at) / h
        assert abs(slopes[0] - slopes[1]) < 2e-3 * max(1.0, abs(slopes[0]))
    assert force(calculator.cutoff + 1e-9) == pytest.approx(force(calculator.cutoff + 1.0), abs=1e-12)


def test_the_switch_falls_from_one_to_zero_with_two_continuous_derivatives():
    r = np.linspace(2.9, 6.1, 64001)
    value, slope = switch(r, 3.0, 6.0)
    assert (value[r <= 3.0] == 1).all()
    assert (value[r >= 6.0] == 0).all()
    np.testing.assert_allclose(np.gradient(value, r), slope, atol=1e-6)
    curvature = np.gradient(slope, r)
    assert np.abs(np.diff(curvature)).max() < 5e-4
    assert value[np.isclose(r, 4.5)] == pytest.approx(0.5)


@names
def test_lone_atoms_have_no_forces_and_an_energy_of_their_own(name):
    atoms = Atoms(crystal(name)[0:1].symbols, [[0, 0, 0]])
    atoms.calc = oracle(name)()
    energy = atoms.get_potential_energy()
    np.testing.assert_array_equal(atoms.get_forces(), 0)
    assert "stress" not in atoms.calc.results
    assert (energy == 0) == (name != "lif_bm")  # an ion has its self energy


@pytest.mark.parametrize(
    ("name", "a0", "energy", "source"),
    [
        ("si_sw", 5.431, -4.3363, "Stillinger and Weber 1985"),
        ("ag_eam", 4.085, -2.96, "fitted by Cleri and Rosato 1993"),
        ("lif_bm", 4.044, -5.321, "no publication: the full Coulomb sum is compared below"),
    ],
)
def test_lattice_constant_and_cohesive_energy_are_those_published(name, a0, energy, source):
    found = minimize_scalar(
        lambda a: crystal(name, a).get_potential_energy() / len(crystal(name)), bracket=(0.98 * a0, a0), tol=1e-8
    )
    assert found.x == pytest.approx(a0, abs=1e-3), source
    assert found.fun == pytest.approx(energy, abs=3e-3), source


def test_silicon_is_matscipys_stillinger_weber():
    manybody = pytest.importorskip("matscipy.calculators.manybody")
    forms = pytest.importorskip("matscipy.calculators.manybody.explicit_forms.stillinger_weber")
    atoms = crystal("si_sw").repeat(2)
    atoms.rattle(0.4, seed=3)
    other = atoms.copy()
    atoms.calc = oracle("si_sw")()
    other.calc = manybody.Manybody(**forms.StillingerWeber(forms.Stillinger_Weber_PRB_31_5262_Si))
    assert atoms.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), other.get_forces(), atol=1e-9)
    np.testing.assert_allclose(atoms.get_stress(), other.get_stress(), atol=1e-11)


def test_silver_is_a_sum_of_repulsions_and_roots_written_out_by_loops():
    atoms = crystal("ag_eam").repeat(2)
    atoms.rattle(0.1, seed=0)
    atoms.positions *= 0.6  # a cluster: every distance is within the first shells or beyond
    atoms.pbc = False
    calculator = oracle("ag_eam")()
    distances = atoms.get_all_distances()
    energy = 0.0
    for i in range(len(atoms)):
        repulsion, second_moment = 0.0, 0.0
        for j in range(len(atoms)):
            r = distances[i, j]
            if i != j and r < 6.5:
                u = min(max(r - 5.5, 0.0), 1.0)
                s = 1 - 10 * u**3 + 15 * u**4 - 6 * u**5
                repulsion += 0.1028 * np.exp(-10.928 * (r / calculator.r0 - 1)) * s
                second_moment += (1.178 * np.exp(-3.139 * (r / calculator.r0 - 1)) * s) ** 2
        energy += repulsion - np.sqrt(second_moment)
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-10)


def test_lithium_fluoride_is_close_to_the_full_coulomb_sum_of_the_same_ions():
    """Rocksalt by its Madelung constant 1.747565 and a direct sum of everything else."""
    ions = BornMayerLithiumFluoride()
    grid = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), axis=-1).reshape(-1, 3)
    grid = grid[np.any(grid != 0, axis=1)]

    def damped(d: np.ndarray, n: int) -> np.ndarray:
        return 1 - np.exp(-d / ions.rho) * sum((d / ions.rho) ** k / factorial(k) for k in range(n + 1))

    def full(a: float) -> float:
        d = np.linalg.norm(grid, axis=1) * a / 2
        energy = -1.747564594633 * COULOMB / (a / 2)
        for centre in (0, 1):
            kind = centre + np.where(grid.sum(axis=1) % 2 == 0, centre, 1 - centre)
            born = ions.b * ions.pauling[kind] * np.exp((ions.sizes[kind] - d) / ions.rho)
            energy += 0.5 * (born - damped(d, 6) * ions.C[kind] / d**6 - damped(d, 8) * ions.D[kind] / d**8).sum()
        return energy / 2

    found = minimize_scalar(full, bracket=(3.9, 4.1))
    assert found.x == pytest.approx(4.02, abs=0.02)  # the crystal that the parameters were fitted to
    assert crystal("lif_bm", found.x).get_potential_energy() / 8 == pytest.approx(found.fun, abs=0.08)


@pytest.mark.parametrize("pair", ["LiF", "F2", "Li2"])
def test_ions_repel_at_every_short_distance_high_up_the_wall(pair):
    def dimer(r: float) -> Atoms:
        return Atoms(pair, [[0, 0, 0], [0, 0, r]], calculator=oracle("lif_bm")())

    assert min(dimer(r).get_forces()[1, 2] for r in np.arange(0.3, 1.4, 0.01)) > 0
    assert dimer(0.4).get_potential_energy() - dimer(1.4).get_potential_energy() > 20


def test_foreign_elements_and_unknown_names_are_refused_in_words():
    with pytest.raises(ArtifactError, match="knows Si, not Ge"):
        Atoms("SiGe", [[0, 0, 0], [0, 0, 2.3]], calculator=oracle("si_sw")()).get_potential_energy()
    with pytest.raises(ArtifactError, match="'cu_eam' is unknown; use one of: si_sw, ag_eam, lif_bm"):
        oracle("cu_eam")
