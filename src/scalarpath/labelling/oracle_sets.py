"""Data sets labelled by the analytic potentials, whose artifacts are therefore known exactly.

Bulk, strained, compressed and defective crystals, surfaces, molecular dynamics of crystal and liquid on the potential
itself, and a few frames far up the repulsive wall. Every draw is seeded and structures are rounded as the file stores
them before they are labelled, so that labelling the file again gives its labels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from scalarpath.artifacts.dynamics import Replica, Thermostat, as_forces, limits_for, run_dynamics, thermal_momenta
from scalarpath.artifacts.oracles import Oracle, oracle
from scalarpath.core.errors import ConfigError, DataError
from scalarpath.labelling.frames import rattled, strained
from scalarpath.labelling.label import write_atomically

COUNTS = {"rattled": 24, "strained": 32, "compressed": 32, "vacancy": 20, "slab": 20}
WALL_PAIRS, PAIR_RISE = 12, (1.0, 10.0)  # frames; eV above the structure before the pair was pushed together
WALL_CRYSTALS, CRYSTAL_RISE = 6, (1.0, 5.0)  # frames; eV per atom above the perfect crystal
RUNS, SNAPSHOTS, SNAPSHOT_INTERVAL_FS = 4, 8, 150.0  # trajectories of every temperature, frames of each
STAGE_FS, FRICTION_PER_PS = 1000.0, 10.0  # of melting and of equilibration
MELT_FACTOR = 2  # liquids are molten at this multiple of the highest temperature of the set
CRYSTAL_SCALE, LIQUID_SCALE = (0.98, 1.03), (1.0, 1.06)  # ranges of the linear scale of the trajectories


@dataclass(frozen=True)
class OracleSet:
    """A crystal and how it is sampled.

    ``name``: data set and potential, see ``scalarpath.artifacts.oracles.oracle``; ``formula``, ``structure``,
    ``lattice_constant``: of the conventional cubic cell at the minimum (Å), see ``ase.build.bulk``; ``repeat``:
    conventional cells of the bulk frames without defect, of 32 atoms; ``large``: conventional cells of all other
    frames but slabs; ``slab``: conventional cells that a slab fills, below as much vacuum; ``crystal_temperatures``,
    ``liquid_temperatures``: of the trajectories, K; ``time_step_fs``: of the trajectories.
    """

    name: str
    formula: str
    structure: str
    lattice_constant: float
    repeat: tuple[int, int, int]
    large: tuple[int, int, int]
    slab: tuple[int, int, int]
    crystal_temperatures: tuple[int, ...]
    liquid_temperatures: tuple[int, ...]
    time_step_fs: float

    def cell(self, scale: float, repeat: tuple[int, int, int]) -> Atoms:
        """The perfect crystal with its lattice constant times ``scale``."""
        return bulk(self.formula, self.structure, a=self.lattice_constant * scale, cubic=True).repeat(repeat)


ORACLE_SETS: dict[str, OracleSet] = {
    item.name: item
    for item in (
        OracleSet(
            "si_sw", "Si", "diamond", 5.431, (2, 2, 1), (2, 2, 2), (2, 2, 1), (300, 1000), (2000, 3000, 5000), 2.0
        ),
        OracleSet("ag_eam", "Ag", "fcc", 4.085, (2, 2, 2), (3, 2, 2), (2, 2, 2), (300, 800), (1400, 2200, 3500), 2.0),
        OracleSet(
            "lif_bm", "LiF", "rocksalt", 4.044, (2, 2, 1), (2, 2, 2), (2, 2, 1), (300, 800), (1400, 2200, 3500), 2.0
        ),
    )
}


def write_oracle_set(name: str, out: Path) -> Path:
    """Draw and label all frames of a set and write them to ``out``/frames.extxyz.

    Raises ConfigError when ``name`` is not one of the sets.
    """
    if name not in ORACLE_SETS:
        raise ConfigError(f"system '{name}' is unknown; use one of: {', '.join(ORACLE_SETS)}.")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "frames.extxyz"
    write_atomically(path, oracle_frames(ORACLE_SETS[name]))
    return path


def oracle_frames(system: OracleSet) -> list[Atoms]:
    """All labelled frames, numbered by ``info["frame"]``.

    ``info["trajectory"]`` names the trajectory of a frame, or the frame itself where it was drawn on its own;
    ``info["time_fs"]`` is the time since the sampling of the trajectory began.
    """
    calculator = oracle(system.name)()
    frames = [*drawn_frames(system), *trajectory_frames(system)]
    return [_labelled(frame, calculator, number) for number, frame in enumerate(frames)]


def drawn_frames(system: OracleSet) -> Iterator[Atoms]:
    """The frames that no trajectory passes: kinds of ``COUNTS``, then the wall."""
    rng = np.random.default_rng(0)
    for kind, count in COUNTS.items():
        for k in range(count):
            yield _named(_draw(system, kind, rng), kind, f"{kind}_{k}")
    for k, rise in enumerate(np.linspace(*PAIR_RISE, WALL_PAIRS)):
        yield _named(_pushed_pair(system, k, rise, rng), "wall_pair", f"wall_pair_{k}")
    for k, rise in enumerate(np.linspace(*CRYSTAL_RISE, WALL_CRYSTALS)):
        yield _named(_squeezed_crystal(system, rise, rng), "wall_crystal", f"wall_crystal_{k}")


def trajectory_frames(system: OracleSet, runs: int = RUNS) -> Iterator[Atoms]:
    """Snapshots of Langevin dynamics in the order of time, one trajectory after the other.

    ``system``: what is sampled; ``runs``: trajectories of every temperature; those of a smaller number are the first
    of a larger one. Raises DataError when a trajectory exploded.
    """
    for temperature in (*system.crystal_temperatures, *system.liquid_temperatures):
        for run in range(runs):
            kind = f"{'liquid' if temperature in system.liquid_temperatures else 'crystal'}{temperature}"
            for k, atoms in enumerate(_trajectory(system, temperature, run)):
                frame = _named(atoms, kind, f"{kind}_{run}")
                frame.info["time_fs"] = (k + 1) * SNAPSHOT_INTERVAL_FS
                yield frame


def _draw(system: OracleSet, kind: str, rng: np.random.Generator) -> Atoms:
    if kind == "rattled":
        sigma = rng.choice([0.03, 0.08, 0.15])
        return rattled(system.cell(1.0, system.repeat), rng, sigma)
    if kind == "strained":
        return rattled(strained(system.cell(rng.uniform(0.96, 1.05), system.repeat), rng, 0.03), rng, 0.08)
    if kind == "compressed":
        return rattled(system.cell(rng.uniform(0.88, 0.97), system.repeat), rng, 0.08)
    if kind == "vacancy":
        atoms = system.cell(rng.uniform(0.97, 1.03), system.large)
        symbols = np.array(atoms.get_chemical_symbols())
        # one formula unit, so that an ionic crystal stays neutral
        del atoms[[int(rng.choice(np.flatnonzero(symbols == symbol))) for symbol in sorted(set(symbols))]]
        return rattled(atoms, rng, 0.08)
    atoms = system.cell(rng.uniform(0.97, 1.03), system.slab)
    atoms.cell[2] *= 2  # the upper half is vacuum
    return rattled(atoms, rng, 0.08)


def _pushed_pair(system: OracleSet, number: int, rise: float, rng: np.random.Generator) -> Atoms:
    """A rattled crystal with two neighbours pushed together in steps of 0.01 Å until the energy has risen enough.

    The kinds of pairs of elements take turns.
    """
    atoms = rattled(system.cell(1.0, system.large), rng, 0.05)
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = list(combinations_with_replacement(sorted(set(symbols)), 2))
    one, other = pairs[number % len(pairs)]
    first = int(rng.choice(np.flatnonzero(symbols == one)))
    distances = atoms.get_distances(first, range(len(atoms)), mic=True)
    distances[(symbols != other) | (np.arange(len(atoms)) == first)] = np.inf
    second = int(np.argmin(distances))
    line = atoms.get_distance(first, second, mic=True, vector=True)
    step = 0.005 * line / np.linalg.norm(line)
    atoms.calc = oracle(system.name)()
    start = atoms.get_potential_energy()
    while atoms.get_potential_energy() < start + rise:
        atoms.positions[first] += step
        atoms.positions[second] -= step
    return atoms


def _squeezed_crystal(system: OracleSet, rise: float, rng: np.random.Generator) -> Atoms:
    """A crystal scaled down in steps of 0.2 % until its energy per atom has risen enough, slightly rattled."""
    scale, calculator = 1.0, oracle(system.name)()

    def height(scale: float) -> float:
        atoms = system.cell(scale, (1, 1, 1))
        return float(calculator.get_potential_energy(atoms)) / len(atoms)

    ground = height(scale)
    while height(scale) < ground + rise:
        scale -= 0.002
    return rattled(system.cell(scale, system.repeat), rng, 0.03)


def _trajectory(system: OracleSet, temperature: int, run: int) -> list[Atoms]:
    """Snapshots of one run at a density of its own, after equilibration and, for a liquid, melting."""
    seed = 10 * temperature + run
    rng = np.random.default_rng([seed, 0])
    liquid = temperature in system.liquid_temperatures
    atoms = rattled(system.cell(rng.uniform(*(LIQUID_SCALE if liquid else CRYSTAL_SCALE)), system.large), rng, 0.05)
    stages = [(temperature, STAGE_FS, 0.0), (temperature, SNAPSHOTS * SNAPSHOT_INTERVAL_FS, SNAPSHOT_INTERVAL_FS)]
    if liquid:  # at constant volume a crystal without surface melts late
        stages.insert(0, (MELT_FACTOR * max(system.liquid_temperatures), STAGE_FS, 0.0))
    atoms.set_momenta(thermal_momenta(atoms, stages[0][0], seed))
    limits, forces = limits_for(atoms, stages[0][0], 10.0, 2.5), as_forces(oracle(system.name)())
    snapshots = np.empty(0)
    for number, (bath, duration, interval) in enumerate(stages):
        steps, every = round(duration / system.time_step_fs), round(interval / system.time_step_fs)
        thermostat = Thermostat(bath, FRICTION_PER_PS, seed, number)
        replica = Replica(atoms, system.time_step_fs, steps, limits, thermostat, snapshot_every=every)
        done = run_dynamics([replica], forces)[0]
        if done.failure is not None:
            raise DataError(f"{system.name} at {temperature} K: {done.failure.reason}; shorten the time step.")
        atoms, snapshots = done.atoms, done.snapshots_A
    frames = [Atoms(atoms.symbols, positions, cell=atoms.cell, pbc=True) for positions in snapshots[1:]]
    for frame in frames:
        frame.wrap()
    return frames


def _named(atoms: Atoms, config_type: str, trajectory: str) -> Atoms:
    info = {"config_type": config_type, "trajectory": trajectory}
    return Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True, info=info)


def _labelled(atoms: Atoms, calculator: Oracle, number: int) -> Atoms:
    """The frame as a file stores it, to 1e-8 Å, with energy, forces and stress."""
    frame = atoms.copy()
    frame.positions = frame.positions.round(8)
    frame.info["frame"] = number
    labels = {name: calculator.get_property(name, frame) for name in ("energy", "forces", "stress")}
    frame.calc = SinglePointCalculator(frame, **labels)
    return frame
