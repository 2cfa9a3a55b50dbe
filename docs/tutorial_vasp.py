"""Input of docs/tutorial.md: the bundled silicon cells as folders of single VASP runs, vasp/000/vasprun.xml to 135.

The labels are PBE, made with GPAW (data/si/SOURCE.md): only the form of the files is VASP's. In them stands what ASE
reads of a vasprun.xml: k-points, NELM, elements, structure, energies, forces, stress (kB, compression positive).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import ase.io
import ase.units
from ase import Atoms

FRAMES = Path(__file__).resolve().parents[1] / "data/si/frames.extxyz"
HEAD = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
<generator><i name="program" type="string">vasp</i></generator>
<kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray></kpoints>
<parameters><separator name="electronic"><i type="int" name="NELM">60</i></separator></parameters>
"""


def vectors(name: str, rows: Iterable[Iterable[float]]) -> str:
    """An array of vectors."""
    lines = (f"<v>{' '.join(f'{value:.10f}' for value in row)}</v>" for row in rows)
    return f'<varray name="{name}">{"".join(lines)}</varray>'


def vasprun(atoms: Atoms) -> str:
    """The file of one static calculation."""
    kinds = sorted(set(atoms.symbols))
    listed = "".join(f"<rc><c>{symbol}</c><c>{kinds.index(symbol) + 1}</c></rc>" for symbol in atoms.symbols)
    crystal = f"<crystal>{vectors('basis', atoms.cell)}</crystal>{vectors('positions', atoms.get_scaled_positions())}"
    value = f"{atoms.get_potential_energy():.10f}"
    energy = "".join(f'<i name="{name}">{value}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))
    stress = -atoms.get_stress(voigt=False) / (0.1 * ase.units.GPa)
    return (
        f'{HEAD}<atominfo><atoms>{len(atoms)}</atoms><types>{len(kinds)}</types><array name="atoms"><set>{listed}</set>'
        f'</array></atominfo>\n<structure name="initialpos">{crystal}</structure>\n'
        f"<calculation><scstep><energy>{energy}</energy></scstep><structure>{crystal}</structure>"
        f"{vectors('forces', atoms.get_forces())}{vectors('stress', stress)}<energy>{energy}</energy></calculation>\n"
        "</modeling>\n"
    )


if __name__ == "__main__":
    for number, frame in enumerate(ase.io.iread(FRAMES)):
        folder = Path(f"vasp/{number:03d}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vasprun.xml").write_text(vasprun(frame))
    print(f"vasp/: {number + 1} folders")
