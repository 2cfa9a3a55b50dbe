"""Molecular dynamics of several replicas (seeds, temperatures, time steps) whose forces are evaluated as one batch.

A step is B A O A B (B. Leimkuhler and C. Matthews, J. Chem. Phys. 138, 174102 (2013), the method named BAOAB there):

    B  p <- p + h/2 F(x)
    A  x <- x + h/2 p/m
    O  p <- c p + sqrt((1 - c^2) m kT) R,   c = exp(-gamma h),  R standard normal

Without a thermostat O is the identity and the step is velocity Verlet. A replica that fails stops alone, and its run
says when and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed, Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from scalarpath.artifacts.pair_search import nearest_distances, pairs_within
from scalarpath.core.errors import ArtifactError, GraphError

StepsDone = Callable[[int, int], None]  # replica steps done, replica steps in all


@runtime_checkable
class Forces(Protocol):
    """What drives the replicas: a model that takes several structures at once, or ``CalculatorForces``."""

    def evaluate(self, structures: Sequence[Atoms]) -> tuple[Iterable[float], Sequence[np.ndarray]]:
        """Energies in eV, whose gradient the forces are, and forces [atoms, 3] in eV/Å, of each structure, unchanged.

        GraphError or ASE's CalculationFailed say that a structure is beyond the model: the replica has failed.
        """


class CalculatorForces:
    """Any ASE calculator, one structure after another; its force-consistent energy where it has one."""

    def __init__(self, calculator: Calculator):
        self.calculator = calculator
        self._energy = "free_energy" if "free_energy" in calculator.implemented_properties else "energy"

    def evaluate(self, structures: Sequence[Atoms]) -> tuple[list[float], list[np.ndarray]]:
        """See ``Forces``."""
        energies, forces = [], []
        for atoms in structures:  # forces first: a calculator that has computed them knows the energy too
            forces.append(self.calculator.get_property("forces", atoms))
            energies.append(self.calculator.get_property(self._energy, atoms))
        return energies, forces


def as_forces(calculator: Forces | Calculator) -> Forces:
    """The argument itself where it evaluates batches, else an adapter of the ASE calculator."""
    return calculator if isinstance(calculator, Forces) else CalculatorForces(calculator)


@dataclass(frozen=True)
class Thermostat:
    """Langevin thermostat: temperature in K, friction gamma in 1/ps, seed of its noise.

    stage: number of this run among several in a row, each of which has noise of its own.
    """

    temperature_K: float
    friction_per_ps: float
    seed: int
    stage: int = 0


CONTACT_FACTOR = 0.4  # of the smallest neighbour distance: closer than any real liquid or hot crystal comes


@dataclass(frozen=True)
class Limits:
    """Beyond these a replica has failed: hotter, an atom farther from all others, or two atoms closer than these.

    Distances are checked every ``check_interval_fs``.
    """

    temperature_K: float
    neighbour_distance_A: float
    check_interval_fs: float = 5.0
    contact_distance_A: float = 0.0


@dataclass(frozen=True)
class Replica:
    """One trajectory to run: start (positions, momenta, cell), time step in fs, number of steps.

    thermostat: None for velocity Verlet; record_every: steps between records of the energies; snapshot_every: steps
    between stored positions (0: none), also written to ``trajectory_file`` (a format to which ASE can append).
    """

    atoms: Atoms
    time_step_fs: float
    steps: int
    limits: Limits
    thermostat: Thermostat | None = None
    record_every: int = 1
    snapshot_every: int = 0
    trajectory_file: Path | None = None


@dataclass(frozen=True)
class Failure:
    """Why and when a replica stopped. kind: exploded, evaporated, collapsed, or refused by the calculator."""

    kind: str
    time_fs: float
    reason: str


@dataclass(frozen=True)
class Trajectory:
    """What a replica did until it ended or failed.

    time_fs, potential_energy_eV, kinetic_energy_eV: [records]; snapshots_A: [snapshots, atoms, 3], not wrapped into the
    cell; minimum_distance_A: smallest pair distance at the checks (NaN for a single atom); atoms: the last state.
    """

    time_fs: np.ndarray
    potential_energy_eV: np.ndarray
    kinetic_energy_eV: np.ndarray
    snapshots_A: np.ndarray
    minimum_distance_A: float
    failure: Failure | None
    atoms: Atoms


def thermal_momenta(atoms: Atoms, temperature_K: float, seed: int) -> np.ndarray:
    """Maxwell-Boltzmann momenta [atoms, 3] in ASE's unit."""
    noise = np.random.default_rng([seed, 0]).standard_normal((len(atoms), 3))
    return noise * np.sqrt(atoms.get_masses()[:, None] * units.kB * temperature_K)


def without_drift(atoms: Atoms) -> Atoms:
    """A copy whose centre of mass is at rest."""
    still, masses = atoms.copy(), atoms.get_masses()[:, None]
    still.set_momenta(atoms.get_momenta() - masses * atoms.get_momenta().sum(axis=0) / masses.sum())
    return still


def limits_for(atoms: Atoms, temperature_K: float, explosion_factor: float, evaporation_factor: float) -> Limits:
    """Limits as multiples of a temperature and of the nearest-neighbour distances of ``atoms``.

    The largest of these times evaporation_factor, the smallest times CONTACT_FACTOR.
    """
    nearest = nearest_distances(atoms)
    return Limits(
        explosion_factor * temperature_K,
        evaporation_factor * float(nearest.max()),
        contact_distance_A=CONTACT_FACTOR * float(nearest.min()),
    )


def smallest_distance(runs: Iterable[Trajectory]) -> float:
    """Smallest pair distance (Å) that any of the runs saw, failed ones included; NaN where none saw a pair."""
    seen = [run.minimum_distance_A for run in runs if np.isfinite(run.minimum_distance_A)]
    return min(seen, default=np.nan)


def run_dynamics(replicas: Sequence[Replica], forces: Forces, progress: StepsDone | None = None) -> list[Trajectory]:
    """Run all replicas side by side, each until its last step or its failure; one evaluation of forces a step.

    Raises ArtifactError for a time step or a number of steps that is not positive.
    """
    for replica in replicas:
        if replica.time_step_fs <= 0 or replica.steps < 1 or replica.record_every < 1:
            raise ArtifactError(
                f"a run of {replica.steps} steps of {replica.time_step_fs} fs, recorded every {replica.record_every} "
                "steps, is not possible; all three must be positive."
            )
    states = [_State(replica) for replica in replicas]
    total = sum(replica.steps for replica in replicas)
    _evaluate(states, forces)
    while running := [state for state in states if state.running]:
        for state in running:
            state.begin_step()
        _evaluate([state for state in running if state.failure is None], forces)
        for state in running:
            state.end_step()
        if progress is not None:
            progress(sum(state.step if state.failure is None else state.replica.steps for state in states), total)
    return [state.result() for state in states]


def _evaluate(states: list[_State], forces: Forces) -> None:
    """Give every state its energy and forces; where the batch is refused, try them one by one."""
    if not states:
        return
    try:
        energies, arrays = forces.evaluate([state.atoms for state in states])
    except (GraphError, CalculationFailed) as error:
        if len(states) == 1:
            states[0].fail("refused", str(error))
        else:
            for state in states:
                _evaluate([state], forces)
        return
    for state, energy, array in zip(states, energies, arrays, strict=True):
        state.energy, state.forces = float(energy), np.asarray(array, dtype=float)


class _State:
    """A replica under way. Arrays are in ASE's units; ``atoms`` shares the positions."""

    def __init__(self, replica: Replica):
        self.replica = replica
        self.atoms = replica.atoms.copy()
        self.masses = self.atoms.get_masses()[:, None]
        self.momenta = self.atoms.get_momenta()
        self.h = replica.time_step_fs * units.fs
        self.check_every = max(1, round(replica.limits.check_interval_fs / replica.time_step_fs))
        self.step, self.energy, self.forces = 0, np.nan, np.empty(0)
        self.failure: Failure | None = None
        self.minimum_distance = np.inf
        self.records: list[tuple[float, float, float]] = []
        self.snapshots: list[np.ndarray] = []
        if replica.thermostat is not None:
            bath = replica.thermostat
            self.decay = np.exp(-bath.friction_per_ps * replica.time_step_fs * 1e-3)
            self.kick = np.sqrt((1 - self.decay**2) * self.masses * units.kB * bath.temperature_K)
            self.noise = np.random.default_rng([bath.seed, 1 + bath.stage])  # 0: thermal_momenta
        if replica.trajectory_file is not None:
            replica.trajectory_file.unlink(missing_ok=True)

    @property
    def running(self) -> bool:
        return self.failure is None and self.step < self.replica.steps

    @property
    def time_fs(self) -> float:
        return self.step * self.replica.time_step_fs

    def fail(self, kind: str, reason: str) -> None:
        self.failure = Failure(kind, self.time_fs, reason)

    def kinetic_energy(self) -> float:
        return 0.5 * float(np.vdot(self.momenta, self.momenta / self.masses))

    def begin_step(self) -> None:
        """B A O A, unless the forces or the speed are beyond the limits: then nothing moves."""
        if self.step == 0 and not self._accept():
            return
        self.momenta += 0.5 * self.h * self.forces
        temperature = 2 * self.kinetic_energy() / (3 * len(self.atoms) * units.kB)
        if not temperature <= self.replica.limits.temperature_K:
            self.fail("exploded", f"the temperature rose to {temperature:.3g} K")
            return
        if self.replica.thermostat is None:
            self.atoms.positions += self.h * self.momenta / self.masses
        else:
            self.atoms.positions += 0.5 * self.h * self.momenta / self.masses
            self.momenta *= self.decay
            self.momenta += self.kick * self.noise.standard_normal(self.momenta.shape)
            self.atoms.positions += 0.5 * self.h * self.momenta / self.masses
        self.step += 1

    def end_step(self) -> None:
        """B with the new forces, then records."""
        if self.failure is not None:
            return
        self.momenta += 0.5 * self.h * self.forces
        self._accept()

    def _accept(self) -> bool:
        """Look at the state after a whole step: False where it has failed, else it is recorded."""
        if not (np.isfinite(self.energy) and np.isfinite(self.forces).all()):
            self.fail("exploded", "the energy or a force is not finite")
        elif self.step % self.check_every == 0:
            self._check_distances()
        if self.failure is not None:
            return False
        if self.step % self.replica.record_every == 0:
            self.records.append((self.time_fs, self.energy, self.kinetic_energy()))
        if self.replica.snapshot_every and self.step % self.replica.snapshot_every == 0:
            self.snapshots.append(self.atoms.get_positions())
            if self.replica.trajectory_file is not None:
                frame = self.atoms.copy()
                frame.set_momenta(self.momenta)
                frame.calc = SinglePointCalculator(frame, energy=self.energy, forces=self.forces)
                frame.info["time_fs"] = self.time_fs
                write(self.replica.trajectory_file, frame, append=True)
        return True

    def _check_distances(self) -> None:
        if len(self.atoms) == 1:
            return
        limit = self.replica.limits.neighbour_distance_A
        i, j, _, distance = pairs_within(self.atoms, limit)
        other = i != j  # an atom's own image is no neighbour
        neighbours = np.bincount(np.concatenate([i[other], j[other]]), minlength=len(self.atoms))
        self.minimum_distance = min(self.minimum_distance, distance[other].min(initial=np.inf))
        if (alone := np.flatnonzero(neighbours == 0)).size:
            self.fail("evaporated", f"atom {alone[0]} has no neighbour within {limit:.3g} Å")
        elif self.minimum_distance < self.replica.limits.contact_distance_A:
            self.fail("collapsed", f"two atoms are {self.minimum_distance:.3g} Å apart")

    def result(self) -> Trajectory:
        self.atoms.set_momenta(self.momenta)
        time, potential, kinetic = np.array(self.records).reshape(-1, 3).T
        snapshots = np.array(self.snapshots).reshape(-1, len(self.atoms), 3)
        smallest = float(self.minimum_distance) if np.isfinite(self.minimum_distance) else np.nan
        return Trajectory(time, potential, kinetic, snapshots, smallest, self.failure, self.atoms)
