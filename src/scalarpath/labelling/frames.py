"""The deterministic frame lists of a crystal: the same structures, in the same order, on every call.

Kinds are interleaved, so that any prefix is a balanced sample. The first ``PRIMITIVE_FRAMES`` frames are one
conventional cell; the supercell frames follow and draw from generators of their own, so that adding to them changes no
earlier frame.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atom, Atoms, geometry, units
from ase.io import iread
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS

from scalarpath.labelling.engines import sampling_calculator
from scalarpath.labelling.label import write_atomically
from scalarpath.labelling.settings import PRIMITIVE_FRAMES, UNSEEN_FRAMES, Crystal
from scalarpath.labelling.tasks import LabelTask

Repeat = tuple[int, int, int]

_UNIT_CELL: Repeat = (1, 1, 1)


def frame_list(crystal: Crystal) -> list[LabelTask]:
    """All frames of a crystal, numbered by ``info["frame"]``.

    Raises MissingEngineError when the cheap potential that samples the hot frames is not installed.
    """
    kinds = ("rattled", "strained", "hot", "compressed", "big_rattle", "hot")
    drawn = _draw(crystal, [kinds[i % len(kinds)] for i in range(PRIMITIVE_FRAMES)], _UNIT_CELL, seed=0)
    cycle = crystal.supercell_cycle
    drawn += _draw(
        crystal, [cycle[i % len(cycle)] for i in range(crystal.supercell_frames)], crystal.supercell, seed=100
    )
    return _numbered(drawn)


def unseen_frame_list(crystal: Crystal) -> list[LabelTask]:
    """Frames for tests only, numbered by ``info["frame"]``: cells with a defect or a surface, hot supercells.

    Raises MissingEngineError when the cheap potential that samples the hot frames is not installed.
    """
    cycle = crystal.unseen_cycle
    kinds = [cycle[i % len(cycle)] for i in range(UNSEEN_FRAMES)]
    return _numbered(_draw(crystal, kinds, crystal.unseen_supercell, seed=200))


def stored_frame_list(
    crystal: Crystal, path: Path, draw: Callable[[Crystal], list[LabelTask]] = frame_list
) -> list[LabelTask]:
    """A frame list, drawn once and kept in ``path``: trajectories differ between machines in the last digits.

    Raises MissingEngineError when the list has to be drawn, and the potential that samples the hot frames is not
    installed.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        structures = []
        for task in draw(crystal):
            structure = task.atoms.copy()
            structure.info = {**task.info, "repeat": np.array(task.repeat)}
            structures.append(structure)
        write_atomically(path, structures)
    tasks = []
    for structure in iread(path):
        first, second, third = (int(n) for n in structure.info.pop("repeat"))
        info = {"config_type": structure.info["config_type"], "frame": int(structure.info["frame"])}
        tasks.append(LabelTask(structure, info=info, repeat=(first, second, third)))
    return tasks


def _numbered(drawn: list[tuple[Atoms, str, Repeat]]) -> list[LabelTask]:
    return [
        LabelTask(atoms, info={"config_type": config_type, "frame": index}, repeat=repeat)
        for index, (atoms, config_type, repeat) in enumerate(drawn)
    ]


def _draw(crystal: Crystal, kinds: list[str], repeat: Repeat, seed: int) -> list[tuple[Atoms, str, Repeat]]:
    """One structure per kind with its config type; the hot ones come from trajectories run beforehand."""
    rng = np.random.default_rng(seed)
    hot = hot_frames(crystal, kinds.count("hot"), repeat, seed + 1)
    prefix = "" if repeat == _UNIT_CELL else "supercell_"
    drawn: list[tuple[Atoms, str, Repeat]] = []
    for kind in kinds:
        if kind == "hot":
            atoms, label = hot.pop(0)
            drawn.append((atoms, prefix + label, repeat))
        elif kind == "slab":
            drawn.append((slab(crystal, rng), kind, crystal.slab))
        elif kind == "vacancy":
            drawn.append((vacancy(crystal, repeat, rng), kind, repeat))
        elif kind == "interstitial":
            drawn.append((interstitial(crystal, repeat, rng), kind, repeat))
        else:
            drawn.append((_bulk_frame(crystal, kind, repeat, rng), prefix + kind, repeat))
    return drawn


def _bulk_frame(crystal: Crystal, kind: str, repeat: Repeat, rng: np.random.Generator) -> Atoms:
    """A perfect crystal, scaled, strained and rattled as its kind asks."""
    if kind == "rattled":
        sigma = rng.choice([0.03, 0.08, 0.15])
        return rattled(crystal.conventional_cell().repeat(repeat), rng, sigma)
    if kind == "strained":
        return rattled(strained(crystal.conventional_cell().repeat(repeat), rng, 0.03), rng, 0.06)
    if kind == "compressed":
        return rattled(crystal.conventional_cell(rng.uniform(0.82, 0.97)).repeat(repeat), rng, 0.08)
    if kind == "big_rattle":
        return rattled(
            strained(crystal.conventional_cell(rng.uniform(0.95, 1.06)).repeat(repeat), rng, 0.03), rng, 0.18
        )
    raise ValueError(f"unknown kind of frame '{kind}'")


def strained(atoms: Atoms, rng: np.random.Generator, size: float) -> Atoms:
    """Deform cell and atoms by a random symmetric strain whose drawn components have standard deviation ``size``."""
    strain = rng.normal(scale=size, size=(3, 3))
    atoms.set_cell(atoms.cell @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
    return atoms


def rattled(atoms: Atoms, rng: np.random.Generator, sigma: float) -> Atoms:
    """Displace every coordinate by a normal deviate of standard deviation ``sigma``, Å."""
    atoms.positions += rng.normal(scale=sigma, size=atoms.positions.shape)
    return atoms


def vacancy(crystal: Crystal, repeat: Repeat, rng: np.random.Generator) -> Atoms:
    """A rattled supercell without one formula unit, so that an ionic crystal stays neutral and closed-shell."""
    atoms = crystal.conventional_cell(rng.uniform(0.97, 1.03)).repeat(repeat)
    symbols = np.array(atoms.get_chemical_symbols())
    removed = [int(rng.choice(np.flatnonzero(symbols == symbol))) for symbol in dict.fromkeys(symbols.tolist())]
    del atoms[removed]
    return rattled(atoms, rng, 0.08)


def interstitial(crystal: Crystal, repeat: Repeat, rng: np.random.Generator) -> Atoms:
    """A rattled supercell with an atom at an empty site, its surroundings relaxed a little on the cheap potential.

    An element gets one atom more; of an ionic crystal an atom of the first element moves there (a Frenkel pair), so
    that it stays neutral and closed-shell.
    """
    cell = crystal.conventional_cell(rng.uniform(0.98, 1.03))
    atoms = cell.repeat(repeat)
    site = np.asarray(crystal.interstitial_site) @ cell.cell.array
    mover = atoms[0].symbol
    if len(set(atoms.numbers)) > 1:
        same = np.flatnonzero(atoms.numbers == atoms.numbers[0])
        distances = np.linalg.norm(geometry.find_mic(atoms.positions[same] - site, atoms.cell)[0], axis=1)
        del atoms[int(same[distances.argmax()])]
    atoms.append(Atom(mover, site))
    atoms.calc = sampling_calculator(crystal)
    BFGS(atoms, logfile=None).run(fmax=0.5, steps=20)
    atoms.calc = None
    return rattled(atoms, rng, 0.05)


def slab(crystal: Crystal, rng: np.random.Generator) -> Atoms:
    """A rattled (001) slab in the lower half of its cell below as much vacuum, periodic in three dimensions."""
    atoms = crystal.conventional_cell(rng.uniform(0.97, 1.03)).repeat(crystal.slab)
    del atoms[atoms.get_scaled_positions(wrap=False)[:, 2] > 0.499]
    return rattled(atoms, rng, 0.08)


def hot_frames(crystal: Crystal, count: int, repeat: Repeat, seed: int) -> list[tuple[Atoms, str]]:
    """Structures of Langevin trajectories on the cheap potential, with their config types, in random order."""
    rng = np.random.default_rng(seed)
    hot = crystal.hot
    frames = []
    for temperature in hot.temperatures:
        atoms = rattled(crystal.conventional_cell(rng.uniform(0.98, 1.05)).repeat(repeat), rng, 0.05)
        atoms.calc = sampling_calculator(crystal)
        MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
        # fixcm=True (ASE's old default) keeps the published frames reproducible; only positions are taken from this.
        dynamics = Langevin(
            atoms, hot.timestep * units.fs, temperature_K=temperature, friction=0.02 / units.fs, fixcm=True, rng=rng
        )
        for _ in range(-(-count // len(hot.temperatures))):
            dynamics.run(hot.stride)
            frames.append((Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True), f"hot{temperature}"))
    order = rng.permutation(len(frames))
    return [frames[i] for i in order][:count]
