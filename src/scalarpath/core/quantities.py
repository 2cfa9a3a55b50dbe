"""Energy, forces and stress as data: everything that the program knows about a quantity and that is no computation.

To add a quantity, add it here, read its label in ``data.labels`` and predict it in ``potential.potential``. No torch is
imported here, so that settings and reports may read it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """One quantity that data sets label, potentials predict and metrics measure.

    ``name`` is that of labels, predictions, loss weights and metrics; ``noun`` stands before "MAE" in sentences.
    ``unit`` is the unit inside the program, of errors too; times ``factor`` it is ``shown_unit``, which in names of
    metrics and columns is written ``unit_in_names``.

    ``shape`` is that of one label, of a structure or, with ``of_atoms``, of each of its atoms. ``per_atom`` says that
    errors are divided by the number of atoms of the structure, as for a total energy.

    ``keys`` are the names under which files carry the label. ``frame_columns`` are the statistics of every single test
    structure in test_frames.csv (``core.metrics.FRAME_STATISTICS``); reports read the size of the first one.
    """

    name: str
    noun: str
    unit: str
    shown_unit: str
    unit_in_names: str
    factor: float
    shape: tuple[int, ...]
    of_atoms: bool
    per_atom: bool
    keys: tuple[str, ...]
    frame_columns: tuple[str, ...]

    def shown(self, error: float) -> str:
        """An error in ``shown_unit``, with the unit, short enough for a line that holds all quantities."""
        return f"{error:.3g} {self.shown_unit}" if error < 1000 else f"{error:.0f} {self.shown_unit}"


_TABLE = (
    Quantity(
        name="energy",
        noun="energy",
        unit="eV/atom",
        shown_unit="meV/atom",
        unit_in_names="meV_atom",
        factor=1e3,
        shape=(),
        of_atoms=False,
        per_atom=True,
        keys=("energy", "REF_energy", "ref_energy", "DFT_energy", "dft_energy"),
        frame_columns=("error",),
    ),
    Quantity(
        name="forces",
        noun="force",
        unit="eV/A",
        shown_unit="meV/Å",
        unit_in_names="meV_A",
        factor=1e3,
        shape=(3,),
        of_atoms=True,
        per_atom=False,
        keys=("forces", "REF_forces", "ref_forces", "DFT_forces", "dft_forces", "force", "DFT_force", "dft_force"),
        frame_columns=("mae", "rmse"),
    ),
    Quantity(
        name="stress",
        noun="stress",
        unit="eV/A^3",
        shown_unit="meV/Å³",
        unit_in_names="meV_A3",
        factor=1e3,
        shape=(3, 3),
        of_atoms=False,
        per_atom=False,
        keys=("stress", "REF_stress", "ref_stress", "DFT_stress", "dft_stress"),
        frame_columns=("mae",),
    ),
)

QUANTITIES = {quantity.name: quantity for quantity in _TABLE}
"""By name, in the order of tables and losses."""

PRIMARY = "forces"
"""The quantity whose error decides first which arm is better."""

PRIMARY_FIRST = tuple(sorted(_TABLE, key=lambda quantity: quantity.name != PRIMARY))
"""The order of reports."""
