"""format=mliap: the file that LAMMPS loads, called as LAMMPS calls it, without LAMMPS."""

from __future__ import annotations

import pickle
import pickletools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from samples import CUTOFF, head_config, make_potential, quartz_like

from scalarpath.backbones import Backbone
from scalarpath.core.errors import ConfigError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.deploy import mliap as deployed
from scalarpath.heads import PathwayShape
from scalarpath.models.export import run
from scalarpath.models.mliap import Images, write_mliap
from scalarpath.models.settings import ExportSettings
from scalarpath.nn.neighbour_sum import neighbour_sum
from scalarpath.potential import build_potential

SPECIES = ["O", "Si"]


class Passed(Backbone):
    """E_i = sum_j u_ij rho_j^2 with rho_j = sum_k u_jk: two cutoffs far, whatever ``says`` says."""

    def __init__(self, atomic_numbers, cutoff, generator, *, says: int | None = None):
        super().__init__()
        self.reach = says
        self.pathway = PathwayShape(cutoff, len(atomic_numbers), 1, (), (), ())

    def set_mean_degree(self, mean_degree):
        pass

    def forward(self, geometry, head):
        weight = (1 - geometry.scaled_distances).clamp(min=0) ** 3
        density = neighbour_sum(weight, geometry)
        return neighbour_sum(weight * density.index_select(0, geometry.neighbour) ** 2, geometry).squeeze(1)


def passed(says: int | None):
    return build_potential(
        {
            "species": [8, 14],
            "cutoff": CUTOFF,
            "dtype": "float64",
            "head": {"name": "baseline", "parts": {}},
            "backbone": {"kind": f"{__name__}:Passed", "says": says},
        }
    ).eval()


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("mace", "panpgs"),
        ("mace", "linear"),
        ("mace", "nonlinear"),
        ("nequip", "panpgs"),
        ("allegro", "panpgs"),
        ("sevennet", "panpgs"),
    ],
)
def test_energies_forces_and_virial_are_those_of_the_calculator(tmp_path, monkeypatch, kind, head):
    monkeypatch.setattr(deployed, "MOST_CANDIDATES", 1000)  # neighbours of images are found in several parts
    potential, atoms = make_potential(head, kind=kind), quartz_like()
    deviations, _ = write_mliap(tmp_path / "my_model.mliap", potential, {})
    assert max(deviations.values()) < 1e-13
    unified = pickle.loads((tmp_path / "my_model.mliap").read_bytes())
    assert unified.element_types == SPECIES
    data = Images(atoms, SPECIES, 2 * unified.rcutfac)
    unified.compute_forces(data)
    calculator = ScalarPathCalculator(potential)
    np.testing.assert_allclose(data.eatoms, calculator.get_property("energies", atoms), rtol=1e-13)
    assert data.energy == pytest.approx(calculator.get_property("energy", atoms), rel=1e-13)
    np.testing.assert_allclose(data.forces, calculator.get_property("forces", atoms), atol=1e-12)
    stress = -data.virial / atoms.get_volume()
    np.testing.assert_allclose(
        stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], calculator.get_property("stress", atoms), atol=1e-13
    )


@pytest.mark.parametrize(("kind", "cutoffs"), [("allegro", 1), ("mace", 2), ("sevennet", 3)])
def test_lammps_is_asked_for_all_that_an_energy_reaches(tmp_path, kind, cutoffs):
    write_mliap(tmp_path / "my_model.mliap", make_potential("baseline", kind=kind), {})
    assert pickle.loads((tmp_path / "my_model.mliap").read_bytes()).rcutfac == cutoffs * CUTOFF / 2


def test_cutoffs_of_pairs_of_elements_count(tmp_path):
    potential = make_potential("baseline", pair_cutoffs={"O": 2.5, "Si": {"O": 3.0, "Si": 4.0}})
    deviations, _ = write_mliap(tmp_path / "my_model.mliap", potential, {})
    assert max(deviations.values()) < 1e-13


def test_where_there_are_no_pairs_or_no_atoms_lammps_has_no_arrays(tmp_path):
    potential = make_potential("baseline", scale=1.0)
    write_mliap(tmp_path / "my_model.mliap", potential, {})
    unified = pickle.loads((tmp_path / "my_model.mliap").read_bytes())
    alone = SimpleNamespace(nlistatoms=1, natomneigh=1, npairs=0, iatoms=np.zeros(1, int), elems=np.ones(1, int))
    unified.compute_forces(alone)
    assert alone.energy == alone.eatoms[0] == ScalarPathCalculator(potential).get_potential_energy(Atoms("Si"))
    empty = SimpleNamespace(nlistatoms=0, natomneigh=0)
    unified.compute_forces(empty)
    assert empty.energy == 0.0


def test_the_file_is_one_call(tmp_path):
    write_mliap(tmp_path / "my_model.mliap", make_potential("baseline"), {})
    found = [(op.name, value) for op, value, _ in pickletools.genops((tmp_path / "my_model.mliap").read_bytes())]
    assert [value for name, value in found if isinstance(value, str)] == ["scalarpath.deploy.mliap", "UnifiedPotential"]
    assert sum(name in ("REDUCE", "NEWOBJ", "BUILD") for name, _ in found) == 1


def test_the_command_writes_it(trained, tmp_path, capsys):
    file = tmp_path / "my_model.mliap"
    run(ExportSettings(str(trained), str(file), "mliap", None, []))
    assert f"pair_style mliap unified {file} 0" in capsys.readouterr().out
    assert pickle.loads(file.read_bytes()).potential.dtype == torch.float32


@pytest.mark.parametrize("file", ["my_model.pt", "my_model"])
def test_an_ending_that_lammps_reads_otherwise_is_refused(file):
    with pytest.raises(ConfigError, match=r"is to be a file for LAMMPS; call it my_model\.mliap"):
        ExportSettings("outputs/run", file, "mliap", None, [])


def test_an_energy_that_reaches_further_than_it_says_is_refused(tmp_path):
    write_mliap(tmp_path / "my_model.mliap", passed(2), {})
    with pytest.raises(ConfigError, match=r"format=mliap: energy of LAMMPS differs by .* nothing was written"):
        write_mliap(tmp_path / "other.mliap", passed(1), {})
    with pytest.raises(ConfigError, match="Passed does not say how many cutoffs its energies reach"):
        write_mliap(tmp_path / "other.mliap", passed(None), {})
    assert [path.name for path in tmp_path.iterdir()] == ["my_model.mliap"]


def test_charges_are_refused(tmp_path):
    potential = make_potential("baseline")
    config = {**potential.config, "head": head_config("ionic")}
    with pytest.raises(ConfigError, match=r"Coulomb energy of head\.linear\.charges.*LammpsDriver"):
        write_mliap(tmp_path / "my_model.mliap", build_potential(config).eval(), {})


def test_what_lammps_may_do_otherwise_is_refused(tmp_path):
    write_mliap(tmp_path / "my_model.mliap", make_potential("baseline"), {})
    unified = pickle.loads((tmp_path / "my_model.mliap").read_bytes())
    with pytest.raises(ConfigError, match="with 0, not with 1"):
        unified.compute_forces(SimpleNamespace(nlistatoms=1, natomneigh=2))
    with pytest.raises(ConfigError, match="KOKKOS; leave '-k on -sf kk' out"):
        unified.interface = type("MLIAPUnifiedInterfaceKokkos", (), {})()
