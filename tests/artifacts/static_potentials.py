"""Calculators with known answers: pair potentials, their scaled copies, and potentials with one fault each."""

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from scalarpath.artifacts.pair_search import pairs_within


class PairPotential(Calculator):
    """Sum of ``energy(r)`` over pairs; ``slope`` is its derivative."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, energy, slope, cutoff):
        super().__init__()
        self.energy_of, self.slope_of, self.cutoff = energy, slope, cutoff

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        first, _, vector, r = pairs_within(atoms, self.cutoff, both_directions=True)
        gradient = self.slope_of(r)[:, None] * vector / r[:, None]
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, first, gradient)
        energy = 0.5 * self.energy_of(r).sum()
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if atoms.pbc.all():
            virial = 0.5 * np.einsum("na,nb->ab", gradient, vector)
            self.results["stress"] = (virial / atoms.get_volume()).flat[[0, 4, 8, 5, 2, 1]]


class Network(Calculator):
    """Springs between all atoms, each pair with its own length."""

    implemented_properties = ("energy", "free_energy", "forces")

    def __init__(self, atoms, stiffness):
        super().__init__()
        self.lengths, self.stiffness = atoms.get_all_distances(), stiffness

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        vectors = atoms.get_all_distances(vector=True)  # from the first to the second
        distances = atoms.get_all_distances() + np.eye(len(atoms))
        stretch = distances - np.eye(len(atoms)) - self.lengths
        forces = self.stiffness * (stretch / distances)[:, :, None] * vectors
        energy = 0.25 * self.stiffness * (stretch**2).sum()
        self.results = {"energy": energy, "free_energy": energy, "forces": forces.sum(axis=1)}


class Altered(Calculator):
    """The results of another calculator times a factor, plus a force that no energy has."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, calculator, factor=1.0, force_change=None):
        super().__init__()
        self.inner, self.factor, self.force_change = calculator, factor, force_change

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.inner.calculate(atoms, list(self.implemented_properties))
        self.results = {name: self.factor * np.asarray(value) for name, value in self.inner.results.items()}
        if self.force_change is not None:
            self.results["forces"] = self.force_change(self.results["forces"])


class WithoutStress(Altered):
    implemented_properties = ("energy", "free_energy", "forces")


def morse(depth=2.0, width=1.5, minimum=2.58, cutoff=6.0):
    def decay(r):
        return np.exp(-width * (r - minimum))

    return PairPotential(
        lambda r: depth * (decay(r) ** 2 - 2 * decay(r)),
        lambda r: 2 * depth * width * (decay(r) - decay(r) ** 2),
        cutoff,
    )


def lennard_jones(epsilon=0.6, sigma=2.6, cutoff=6.0):
    return PairPotential(
        lambda r: 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6),
        lambda r: 4 * epsilon * (-12 * (sigma / r) ** 12 + 6 * (sigma / r) ** 6) / r,
        cutoff,
    )


def closing_lennard_jones(epsilon=0.6, sigma=2.6, cutoff=5.0):
    """Lennard-Jones times (1 - (r/cutoff)^2)^4, smooth at the cutoff."""

    def energy(r):
        return 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6) * (1 - (r / cutoff) ** 2) ** 4

    def slope(r):
        bare = 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)
        bare_slope = 4 * epsilon * (-12 * (sigma / r) ** 12 + 6 * (sigma / r) ** 6) / r
        close = 1 - (r / cutoff) ** 2
        return bare_slope * close**4 - bare * 8 * close**3 * r / cutoff**2

    return PairPotential(energy, slope, cutoff)


def springs(stiffness, length, cutoff):
    return PairPotential(lambda r: 0.5 * stiffness * (r - length) ** 2, lambda r: stiffness * (r - length), cutoff)
