"""The fixed method of each bundled crystal: every label of a system lies on one potential-energy surface."""

from dataclasses import dataclass

from ase import Atoms
from ase.build import bulk

from scalarpath.core.errors import ConfigError

PRIMITIVE_FRAMES = 120
"""How many frames of one conventional cell a system has; the supercell frames are numbered after them."""

UNSEEN_FRAMES = 20
"""How many frames of a system are for tests only: cells with a defect or a surface, which no training part holds."""


@dataclass(frozen=True)
class HotSampling:
    """Langevin dynamics on a cheap potential that samples positions only, never labels.

    ``temperatures``: one trajectory each, K; ``timestep``: fs; ``stride``: steps between frames.
    """

    temperatures: tuple[int, ...]
    timestep: float
    stride: int


@dataclass(frozen=True)
class Crystal:
    """A crystal, the plane-wave method that labels it, and the frames that are drawn for it.

    ``name``: folder of the data set; ``formula``: as ``ase.build.bulk`` takes it; ``structure``: as ``ase.build.bulk``
    takes it; ``lattice_constant``: of the conventional cubic cell, Å; ``atoms_in_cell``: atoms of the conventional
    cubic cell; ``plane_wave_cutoff``: eV; ``kpoint_grid``: Monkhorst-Pack grid of the conventional cell; supercells
    use the grid folded into them; ``smearing``: Fermi-Dirac width, eV; ``pulay_constant``: c of the stress error c/V
    of a fixed cutoff, eV per conventional cell (see ``pulay.py``); ``hot``: sampling of the hot frames; ``supercell``:
    repetitions of the conventional cell in supercell frames; each divides the k grid; ``supercell_cycle``: kinds of
    supercell frames, in the order in which they are drawn; ``supercell_frames``: how many of them; ``unseen_supercell``
    and ``slab``: repetitions of the conventional cell in unseen frames and in slabs; each divides the k grid;
    ``unseen_cycle``: kinds of unseen frames, in the order in which they are drawn; ``interstitial_site``: the empty
    site of the conventional cell, fractional.
    """

    name: str
    formula: str
    structure: str
    lattice_constant: float
    atoms_in_cell: int
    plane_wave_cutoff: float
    kpoint_grid: tuple[int, int, int]
    smearing: float
    pulay_constant: float
    hot: HotSampling
    supercell: tuple[int, int, int]
    supercell_cycle: tuple[str, ...]
    supercell_frames: int
    unseen_supercell: tuple[int, int, int]
    unseen_cycle: tuple[str, ...]
    slab: tuple[int, int, int]
    interstitial_site: tuple[float, float, float]

    def conventional_cell(self, scale: float = 1.0) -> Atoms:
        """The perfect conventional cubic cell with the lattice constant times ``scale``."""
        return bulk(self.formula, self.structure, a=self.lattice_constant * scale, cubic=True)

    @property
    def pulay_constant_per_atom(self) -> float:
        """Pulay constant in eV per atom, the same in every supercell."""
        return self.pulay_constant / self.atoms_in_cell


_BULK_CYCLE = ("rattled", "hot", "vacancy", "strained", "hot", "compressed")

CRYSTALS: dict[str, Crystal] = {
    crystal.name: crystal
    for crystal in (
        Crystal(
            name="si",
            formula="Si",
            structure="diamond",
            lattice_constant=5.47,
            atoms_in_cell=8,
            plane_wave_cutoff=350.0,
            kpoint_grid=(3, 3, 3),
            smearing=0.1,
            pulay_constant=0.012,
            hot=HotSampling(temperatures=(900, 1800, 3000), timestep=3.0, stride=60),
            supercell=(3, 1, 1),
            supercell_cycle=_BULK_CYCLE,
            supercell_frames=24,
            unseen_supercell=(3, 1, 1),
            unseen_cycle=("vacancy", "slab", "interstitial", "hot"),
            slab=(1, 1, 3),
            interstitial_site=(0.5, 0.5, 0.5),
        ),
        Crystal(
            name="lif",
            formula="LiF",
            structure="rocksalt",
            lattice_constant=4.07,
            atoms_in_cell=8,
            plane_wave_cutoff=700.0,
            kpoint_grid=(2, 2, 2),
            smearing=0.1,
            pulay_constant=0.429,
            hot=HotSampling(temperatures=(600, 1200, 2000), timestep=2.0, stride=10),
            supercell=(2, 1, 1),
            supercell_cycle=_BULK_CYCLE,
            supercell_frames=24,
            unseen_supercell=(2, 2, 1),
            unseen_cycle=("vacancy", "slab", "interstitial", "hot"),
            slab=(2, 1, 2),
            interstitial_site=(0.25, 0.25, 0.25),
        ),
        Crystal(
            name="ag",
            formula="Ag",
            structure="fcc",
            lattice_constant=4.15,
            atoms_in_cell=4,
            plane_wave_cutoff=350.0,
            kpoint_grid=(4, 4, 4),
            smearing=0.2,
            pulay_constant=2.075,
            hot=HotSampling(temperatures=(600, 1200, 2000), timestep=3.0, stride=60),
            supercell=(2, 2, 1),
            supercell_cycle=("rattled", "hot", "vacancy", "slab", "strained", "hot", "vacancy", "compressed"),
            supercell_frames=16,
            unseen_supercell=(2, 2, 1),
            # An interstitial in a cell one lattice constant high is a column of them, 2 Å from its neighbours.
            unseen_cycle=("vacancy", "slab", "hot"),
            slab=(1, 1, 4),
            interstitial_site=(0.5, 0.5, 0.5),
        ),
    )
}


def crystal_settings(name: str) -> Crystal:
    """Settings of a bundled crystal.

    Raises ConfigError when ``name`` is not one of them.
    """
    if name not in CRYSTALS:
        raise ConfigError(f"system '{name}' is unknown; use one of: {', '.join(CRYSTALS)}.")
    return CRYSTALS[name]
