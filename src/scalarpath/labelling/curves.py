"""Reference curves of a crystal, labelled as its frames are: equation of state, frozen phonons, dimers."""

import numpy as np
from ase import Atoms, units

from scalarpath.core.errors import ConfigError
from scalarpath.labelling.settings import Crystal
from scalarpath.labelling.tasks import LabelTask

CURVES = ("eos", "phonon", "dimer")

_EOS_SCALES = (1.0, 0.98, 1.02, 0.96, 1.04, 0.99, 1.01, 0.93, 0.90, 0.86, 0.82, 0.78, 0.74)
_AMPLITUDES = (0.01, -0.01, 0.05, -0.05, 0.1)
_DIMERS: dict[str, dict[tuple[str, str], tuple[float, ...]]] = {
    "si": {("Si", "Si"): (1.5, 1.7, 1.9, 2.1, 2.3, 2.7, 3.2)},
    "lif": {
        ("Li", "F"): (1.0, 1.2, 1.4, 1.6, 1.9, 2.4),
        ("Li", "Li"): (1.6, 2.0, 2.6, 3.2),
        ("F", "F"): (1.0, 1.2, 1.4, 1.8, 2.4),
    },
    "ag": {("Ag", "Ag"): (1.7, 1.9, 2.1, 2.3, 2.5, 2.8, 3.3)},
}
_DIMER_BOX = (7.0, 7.0, 9.0)


def curve_tasks(crystal: Crystal, curve: str) -> list[LabelTask]:
    """Structures of one curve; ``info`` says where on the curve each lies.

    Raises ConfigError when ``curve`` is not one of ``CURVES``.
    """
    builders = {"eos": _eos, "phonon": _phonon, "dimer": _dimer}
    if curve not in builders:
        raise ConfigError(f"curve '{curve}' is unknown; use one of: {', '.join(CURVES)}.")
    return builders[curve](crystal)


def _eos(crystal: Crystal) -> list[LabelTask]:
    return [
        LabelTask(
            crystal.conventional_cell(scale), info={"config_type": "eos", "linear_scale": scale}, point_group=True
        )
        for scale in _EOS_SCALES
    ]


def _phonon(crystal: Crystal) -> list[LabelTask]:
    tasks = []
    for mode, pattern in phonon_patterns(crystal).items():
        for amplitude in _AMPLITUDES:
            atoms = crystal.conventional_cell()
            atoms.positions += amplitude * pattern
            info = {"config_type": "frozen_phonon", "mode": mode, "amplitude": amplitude}
            tasks.append(LabelTask(atoms, info=info, point_group=True))
    return tasks


def _dimer(crystal: Crystal) -> list[LabelTask]:
    tasks = []
    for pair, distances in _DIMERS[crystal.name].items():
        for distance in distances:
            atoms = Atoms(pair, [[0, 0, 0], [0, 0, distance]], cell=_DIMER_BOX, pbc=True)
            atoms.center()
            info = {"config_type": "dimer", "pair": "".join(pair), "distance": distance}
            tasks.append(LabelTask(atoms, info=info, repeat=None, point_group=True))
    return tasks


def phonon_patterns(crystal: Crystal) -> dict[str, np.ndarray]:
    """Displacement patterns ``[atoms, 3]`` of modes that symmetry alone determines, per unit of amplitude.

    Gamma optical mode of diamond and rocksalt (transverse), longitudinal and transverse X mode of fcc.

    Raises ConfigError when no mode is known for the structure of the crystal.
    """
    atoms = crystal.conventional_cell()
    fractional = atoms.get_scaled_positions()
    if crystal.structure == "fcc":  # q = (0, 0, 2 pi / a): layers z = 0 and z = 1/2 move against each other
        sign = np.where(np.isclose(fractional[:, 2] % 1, 0.0), 1.0, -1.0)
        return {"X_L": np.outer(sign, [0, 0, 1.0]), "X_T": np.outer(sign, [1.0, 0, 0])}
    if crystal.structure == "diamond":  # only on the first fcc sublattice are all coordinates multiples of 1/2
        sign = np.where(np.isclose((4 * fractional).round() % 2, 0).all(axis=1), 1.0, -1.0)
        return {"Gamma_O": np.outer(sign, [0, 0, 1.0])}
    if crystal.structure == "rocksalt":  # the centre of mass stays at rest
        masses = atoms.get_masses()
        first = atoms.numbers == atoms.numbers[0]
        displacement = np.where(first, 1.0, -masses[first].sum() / masses[~first].sum())
        return {"Gamma_TO": np.outer(displacement, [0, 0, 1.0])}
    raise ConfigError(f"no symmetry-determined phonon is known for the structure '{crystal.structure}'.")


def frozen_phonon_frequency(atoms: Atoms, pattern: np.ndarray) -> float:
    """Harmonic frequency of a mode from the labelled forces of one displaced cell.

    ``atoms``: a frame of the phonon curve with forces and ``info["amplitude"]`` (Å); ``pattern``: its displacement
    pattern ``[atoms, 3]``. Returns THz; negative where the restoring force points outwards.
    """
    stiffness = -(atoms.get_forces() * pattern).sum() / atoms.info["amplitude"]
    inertia = (atoms.get_masses()[:, None] * pattern**2).sum()
    angular = np.sqrt(abs(stiffness) / inertia)  # 1 / ASE time unit
    return float(np.sign(stiffness) * angular / (2 * np.pi) * units.second * 1e-12)
