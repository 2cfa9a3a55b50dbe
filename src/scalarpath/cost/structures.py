"""Structures that benchmarks run on."""

from __future__ import annotations

from ase import Atoms
from ase.build import bulk
from ase.io import read

from scalarpath.core.resources import BUNDLED_DIR
from scalarpath.core.settings import checked
from scalarpath.cost.settings import CRYSTALS, Structure

# aspirin, C9H8O4: element and coordinates in Å (an equilibrium conformer)
ASPIRIN = """
O  1.2333  0.5540  0.7792
O -0.6952 -2.7148 -0.7502
O  0.7958 -2.1843  0.8685
O  1.7813  0.8105 -1.4821
C -0.0857  0.6088  0.4403
C -0.7927 -0.5515  0.1244
C -0.7288  1.8464  0.4133
C -2.1426 -0.4741 -0.2184
C -2.0787  1.9238  0.0706
C -2.7855  0.7636 -0.2453
C -0.1409 -1.8536  0.1477
C  2.1094  0.6715 -0.3113
C  3.5305  0.5996  0.1635
H -0.1851  2.7545  0.6593
H -2.7247 -1.3605 -0.4564
H -2.5797  2.8872  0.0506
H -3.8374  0.8238 -0.5090
H  3.7290  1.4184  0.8593
H  4.2045  0.6969 -0.6924
H  3.7105 -0.3659  0.6426
H -0.2555 -3.5916 -0.7337
"""
RATTLE = {"Si": 0.1, "Ag": 0.1, "aspirin": 0.05}  # Å; of the crystals as at some hundred K


def structures(name: str) -> list[Atoms]:
    """Structures of one batch: si64, ag108, si8, ag4 (thermal cells; si64x2: two), aspirin10, ethanol10 (molecules).

    Raises ConfigError for an unknown name.
    """
    checked(name, Structure, "structure")
    crystal, _, copies = name.partition("x")
    if crystal in CRYSTALS:
        element, length, cells = CRYSTALS[crystal]
        atoms = bulk(element, a=length, cubic=True) * cells
        return _rattled(atoms, RATTLE[element], int(copies or 1))
    if name.startswith("aspirin"):
        return _rattled(aspirin(), RATTLE["aspirin"], int(name.removeprefix("aspirin")))
    return list(read(BUNDLED_DIR / "ethanol" / "frames.extxyz", f":{name.removeprefix('ethanol')}"))


def aspirin() -> Atoms:
    """One molecule of aspirin, 21 atoms, not periodic."""
    rows = [line.split() for line in ASPIRIN.strip().splitlines()]
    return Atoms([row[0] for row in rows], [[float(x) for x in row[1:]] for row in rows])


def _rattled(atoms: Atoms, stdev: float, copies: int) -> list[Atoms]:
    frames = [atoms.copy() for _ in range(copies)]
    for seed, frame in enumerate(frames):
        frame.rattle(stdev, seed=seed)
    return frames
