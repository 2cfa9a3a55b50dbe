"""Relaxed cell and elastic tensor of a crystal of any symmetry.

Every calculator relaxes cell and atoms first, so that model and reference are each taken at their own minimum, where
the definitions of the tensor by stress and by energy agree. Averages over orientations: R. Hill, Proc. Phys. Soc. A 65,
349 (1952).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.measure import Measure, Measurement, Progress
from scalarpath.artifacts.measures.elastic import ElasticSettings, stress_per_strain
from scalarpath.artifacts.rows import NO_REFERENCE, Row, compared

_SHOWN = ("c11", "c22", "c33", "c12", "c13", "c23", "c44", "c55", "c66")
_LARGEST_CHANGE = 1.5  # of the volume: a relaxation that goes farther has left the structure
_SHAPE = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True)
class TensorResult:
    """A crystal at the minimum of one calculator.

    volume_A3_atom, energy_eV_atom, cell: after relaxation, the latter ``a``, ``b``, ``c`` (Å), ``alpha``, ``beta``,
    ``gamma`` (degrees); tensor_GPa: [6][6], atoms relaxed, in Voigt order (xx, yy, zz, yz, xz, xy) with the axes of the
    file; bulk_modulus_GPa: under hydrostatic pressure; shear_modulus_GPa: Hill's average; lowest_stiffness_GPa:
    smallest eigenvalue of the tensor, negative where the crystal is unstable; all NaN where it could not be relaxed;
    notes: what could not be measured, and why.
    """

    material: str
    volume_A3_atom: float
    energy_eV_atom: float
    cell: dict[str, float]
    tensor_GPa: list[list[float]]
    bulk_modulus_GPa: float
    shear_modulus_GPa: float
    lowest_stiffness_GPa: float
    notes: list[str]


class ElasticTensor(Measure[ElasticSettings]):
    """Relaxed cell, elastic tensor and its averages."""

    name = "elastic"
    settings = ElasticSettings
    for_molecules = False

    def unsuitable(self, bench: Bench, settings: ElasticSettings) -> str:
        """See ``Measure``."""
        if reason := super().unsuitable(bench, settings):
            return reason
        silent = [c for c in (bench.calculator, bench.reference_calculator) if c and not _gives_stress(c)]
        return f"{type(silent[0]).__name__} gives no stress" if silent else ""

    def measure(
        self, bench: Bench, settings: ElasticSettings, progress: Progress, trajectories: Path | None
    ) -> Measurement:
        """See ``Measure``."""
        progress("elastic tensor", 0, 0)
        cell = bench.material.conventional_cell()
        results = {"model": measure_tensor(bench.calculator, cell, bench.material.name, settings)}
        if bench.reference_calculator is not None:
            results["reference"] = measure_tensor(bench.reference_calculator, cell, bench.material.name, settings)
        return Measurement(results, {"material": bench.material.name, **asdict(settings)})

    def rows(self, measurement: Measurement, bench: Bench) -> Iterator[Row]:
        """See ``Measure``."""
        result: TensorResult = measurement.results["model"]
        reference: TensorResult | None = measurement.results.get("reference")
        found, expected = _values(result), {} if reference is None else _values(reference)
        notes = [*result.notes, *([] if reference is None else [f"reference: {note}" for note in reference.notes])]
        general = NO_REFERENCE if reference is None else ""
        for (key, quantity, unit), value in found.items():
            note = "; ".join(notes) if key == "volume_A3_atom" and notes else general
            if key == "lowest_stiffness_GPa":
                note = "of the tensor; below 0 the crystal is unstable"
            relative = unit == "GPa" and key != "lowest_stiffness_GPa"
            other = expected.get((key, quantity, unit), np.nan)
            yield compared(key, quantity, unit, value, other, relative=relative, note=note)


def measure_tensor(calculator: Calculator, cell: Atoms, name: str, settings: ElasticSettings) -> TensorResult:
    """Relax ``cell``, which is not changed, and strain it; ``name``: of the material."""
    relaxed, note = _relaxed(calculator, cell, settings)
    if relaxed is None:
        shape, unknown = dict.fromkeys(_SHAPE, np.nan), np.full((6, 6), np.nan).tolist()
        return TensorResult(name, np.nan, np.nan, shape, unknown, np.nan, np.nan, np.nan, [note])
    columns = [
        stress_per_strain(calculator, relaxed, strain, settings, relaxed=True)
        for strain in unit_strains() * settings.strain
    ]
    tensor = np.array(columns).T
    tensor = (tensor + tensor.T) / 2
    bulk, shear, lowest = tensor_averages(tensor)
    steps = settings.relaxation_steps
    return TensorResult(
        material=name,
        volume_A3_atom=float(relaxed.get_volume()) / len(relaxed),
        energy_eV_atom=float(calculator.get_potential_energy(relaxed)) / len(relaxed),
        cell={key: float(value) for key, value in zip(_SHAPE, relaxed.cell.cellpar(), strict=True)},
        tensor_GPa=tensor.tolist(),
        bulk_modulus_GPa=bulk,
        shear_modulus_GPa=shear,
        lowest_stiffness_GPa=lowest,
        notes=[f"atoms of a strained cell did not relax in {steps} steps"] if np.isnan(tensor).any() else [],
    )


def unit_strains() -> np.ndarray:
    """The six strains of size one in Voigt order, shears as engineering strains, [6, 3, 3]."""
    strains = np.zeros((6, 3, 3))
    for k, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        strains[k, i, j] += 0.5
        strains[k, j, i] += 0.5
    return strains


def tensor_averages(tensor: np.ndarray) -> tuple[float, float, float]:
    """Bulk modulus under hydrostatic pressure, Hill's shear modulus, lowest eigenvalue, from [6, 6] in Voigt order."""
    if np.isnan(tensor).any():
        return np.nan, np.nan, np.nan
    mandel = np.where(np.arange(6) < 3, 1.0, np.sqrt(2.0))  # a basis in which eigenvalues do not depend on the axes
    lowest = float(np.linalg.eigvalsh(tensor * np.outer(mandel, mandel))[0])
    c, s = tensor, np.linalg.pinv(tensor)
    voigt = (np.trace(c[:3, :3]) - c[0, 1] - c[0, 2] - c[1, 2] + 3 * np.trace(c[3:, 3:])) / 15
    with np.errstate(divide="ignore"):  # atoms without any interaction
        bulk = 1 / s[:3, :3].sum()
        reuss = 15 / (4 * (np.trace(s[:3, :3]) - s[0, 1] - s[0, 2] - s[1, 2]) + 3 * np.trace(s[3:, 3:]))
    return float(bulk), float(voigt + reuss) / 2, lowest


def _relaxed(calculator: Calculator, cell: Atoms, settings: ElasticSettings) -> tuple[Atoms | None, str]:
    atoms, steps = cell.copy(), settings.cell_relaxation_steps
    atoms.calc = calculator
    both: Any = FrechetCellFilter(atoms)  # BFGS takes it, though it says Atoms
    done = BFGS(both, logfile=None).run(fmax=settings.relaxation_fmax_eV_A, steps=steps)
    change = atoms.get_volume() / cell.get_volume()
    if not 1 / _LARGEST_CHANGE < change < _LARGEST_CHANGE:
        return None, f"its volume changed by a factor of {change:.2g} when it was relaxed"
    return (atoms, "") if done else (None, f"cell and atoms did not relax in {steps} steps")


def _values(result: TensorResult) -> dict[tuple[str, str, str], float]:
    """Values by key, quantity as shown, and unit."""
    values = {("volume_A3_atom", "volume", "Å³/atom"): result.volume_A3_atom}
    values |= {(f"{edge}_A", f"cell {edge}", "Å"): result.cell[edge] for edge in "abc"}
    values |= {(f"{angle}_degrees", f"cell {angle}", "°"): result.cell[angle] for angle in _SHAPE[3:]}
    values |= {("bulk_modulus_GPa", "bulk modulus", "GPa"): result.bulk_modulus_GPa}
    values |= {("shear_modulus_GPa", "shear modulus (Hill)", "GPa"): result.shear_modulus_GPa}
    for name in _SHOWN:
        values[f"{name}_GPa", name, "GPa"] = result.tensor_GPa[int(name[1]) - 1][int(name[2]) - 1]
    return values | {("lowest_stiffness_GPa", "lowest stiffness", "GPa"): result.lowest_stiffness_GPa}


def _gives_stress(calculator: Calculator) -> bool:
    return "stress" in calculator.implemented_properties
