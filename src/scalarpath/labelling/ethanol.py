"""Ethanol in the manner of MD17: Langevin dynamics on GFN2-xTB at 500 K, and PBE/def2-SVP labels for some frames.

The frames are time-ordered and correlated: split them in contiguous blocks.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import BFGS

from scalarpath.labelling.engines import tight_binding_calculator
from scalarpath.labelling.tasks import LabelTask

TEMPERATURE = 500.0  # K
TIMESTEP = 0.5  # fs
STRIDE = 20  # steps between frames
EQUILIBRATION = 1000  # steps before the first frame


def sample_trajectory(count: int, calculator: Calculator | None = None, seed: int = 0) -> tuple[Atoms, list[Atoms]]:
    """Relaxed molecule and ``count`` frames of the trajectory, labelled by the calculator that drives it.

    ``count``: frames, ``STRIDE`` steps apart; ``calculator``: GFN2-xTB if not given; ``seed``: of velocities and
    thermostat. Raises MissingEngineError when tblite is not installed and no calculator is given.
    """
    rng = np.random.default_rng(seed)
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator or tight_binding_calculator("GFN2-xTB", accuracy=0.1)
    BFGS(atoms, logfile=None).run(fmax=0.005)
    relaxed = _labelled(atoms, config_type="relaxed")
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=rng)
    dynamics = Langevin(
        atoms, TIMESTEP * units.fs, temperature_K=TEMPERATURE, friction=0.01 / units.fs, fixcm=False, rng=rng
    )
    dynamics.run(EQUILIBRATION)
    frames = []
    for index in range(count):
        dynamics.run(STRIDE)
        step = EQUILIBRATION + STRIDE * (index + 1)
        frames.append(_labelled(atoms, config_type="md500", frame=index, step=step))
    return relaxed, frames


def _labelled(atoms: Atoms, **info: str | int) -> Atoms:
    """Positions (no momenta) with the labels that the driving calculator has for them."""
    frame = Atoms(atoms.symbols, atoms.positions, info=info)
    frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy(), forces=atoms.get_forces().copy())
    return frame


def relabel_tasks(trajectory: Sequence[Atoms], count: int) -> list[LabelTask]:
    """Tasks for ``count`` evenly spaced frames of the trajectory, which keep their ``info``."""
    chosen = np.linspace(0, len(trajectory) - 1, count).astype(int)
    return [
        LabelTask(Atoms(trajectory[i].symbols, trajectory[i].positions), info=dict(trajectory[i].info), repeat=None)
        for i in chosen
    ]
