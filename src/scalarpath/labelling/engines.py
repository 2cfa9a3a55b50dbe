"""The electronic-structure engines, imported when a label is made and never before."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from scalarpath.core.errors import ConfigError, ScalarPathError
from scalarpath.labelling.kpoints import folded_kpoints
from scalarpath.labelling.settings import Crystal
from scalarpath.labelling.tasks import LabelTask

_SYSTEM_LIBRARIES = {"gpaw": " after the libraries libxc, BLAS, FFTW and MPI of your system"}


class MissingEngineError(ScalarPathError):
    """A labelling engine is not installed."""


class UnconvergedError(ScalarPathError):
    """A self-consistent calculation did not converge, so it gives no label."""


def load_engine(module: str) -> ModuleType:
    """Import (a submodule of) an optional engine.

    Raises MissingEngineError when it is not installed; the message says how to install it.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingEngineError(
            f"labelling needs '{package}', which cannot be imported ({error}); install it with "
            f"pip install 'scalarpath[labelling]'{_SYSTEM_LIBRARIES.get(package, '')}."
        ) from error


@dataclass(frozen=True)
class PlaneWaveEngine:
    """GPAW with the fixed method of a crystal: PBE, plane waves, spin-paired, Fermi-Dirac smearing.

    A class at module level, so that it can be sent to a worker process.
    """

    crystal: Crystal

    def __call__(self, task: LabelTask, log: Path) -> Calculator:
        """The calculator of ``task``, whose text goes to ``log``; a molecule in a box is sampled at Gamma only."""
        gpaw = load_engine("gpaw")
        crystal = self.crystal
        kpoints = np.zeros((1, 3)) if task.repeat is None else folded_kpoints(crystal.kpoint_grid, task.repeat)
        return gpaw.GPAW(
            mode=gpaw.PW(crystal.plane_wave_cutoff),
            xc="PBE",
            kpts=kpoints,
            occupations=gpaw.FermiDirac(crystal.smearing),
            convergence={"forces": 0.003, "density": 1e-4},
            maxiter=120,
            symmetry={} if task.point_group else {"point_group": False},
            txt=str(log),
        )


class MolecularEngine:
    """PySCF for molecules, which is left silent."""

    def __call__(self, task: LabelTask, log: Path) -> Calculator:
        """The calculator of any task."""
        return MolecularDFT()


def sampling_calculator(crystal: Crystal) -> Calculator:
    """The cheap potential that samples hot frames of a crystal: EMT, Stillinger-Weber or GFN1-xTB.

    Raises ConfigError when no cheap potential is known for the crystal.
    """
    if crystal.name == "ag":
        return EMT()
    if crystal.name == "si":
        manybody = load_engine("matscipy.calculators.manybody")
        forms = load_engine("matscipy.calculators.manybody.explicit_forms")
        parameters = load_engine("matscipy.calculators.manybody.explicit_forms.stillinger_weber")
        return manybody.Manybody(**forms.StillingerWeber(parameters.Stillinger_Weber_PRB_31_5262_Si))
    if crystal.name == "lif":
        return tight_binding_calculator("GFN1-xTB", accuracy=1.0)
    raise ConfigError(f"no cheap potential is known that samples hot frames of '{crystal.name}'.")


def tight_binding_calculator(method: str, *, accuracy: float) -> Calculator:
    """Extended tight binding (``GFN1-xTB`` or ``GFN2-xTB``) from tblite; a smaller ``accuracy`` converges tighter."""
    return load_engine("tblite.ase").TBLite(method=method, accuracy=accuracy, verbosity=0)


class MolecularDFT(Calculator):
    """PBE/def2-SVP of a molecule with density fitting (PySCF); forces are the exact gradient of the gridded energy."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - declared as ASE declares it

    def calculate(
        self, atoms: Atoms | None = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Energy and forces of ``atoms``.

        Raises UnconvergedError when the self-consistent field did not converge.
        """
        if atoms is None:
            raise ValueError("MolecularDFT.calculate needs atoms")
        super().calculate(atoms, properties, system_changes)
        dft, gto = load_engine("pyscf.dft"), load_engine("pyscf.gto")
        geometry = list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True))
        molecule = gto.M(atom=geometry, basis="def2-SVP", verbose=0)
        field = dft.RKS(molecule, xc="PBE").density_fit()
        field.conv_tol = 1e-10
        energy = float(field.kernel()) * units.Ha
        if not field.converged:
            raise UnconvergedError("the PBE/def2-SVP self-consistent field did not converge.")
        gradient = field.nuc_grad_method()
        gradient.grid_response = True
        forces = -np.asarray(gradient.kernel()) * units.Ha / units.Bohr
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
