"""The stored references: what they hold, that the recipe makes them, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write
from static_potentials import Altered, Network

from scalarpath.artifacts.materials import MATERIALS, material, pair_name
from scalarpath.artifacts.measures.walls import wall_scans
from scalarpath.artifacts.stored_values import StoredValues, stored_values
from scalarpath.core.errors import ArtifactError, DataError
from scalarpath.labelling.settings import CRYSTALS
from scalarpath.labelling.stored_values import (
    crystal_values,
    molecule_values,
    write_stored_values,
)

DATA = Path(__file__).resolve().parents[2] / "data"
CRYSTAL_NAMES = tuple(CRYSTALS)
THZ_TO_CM = 33.35641


@pytest.mark.parametrize("name", CRYSTAL_NAMES)
def test_the_recipe_makes_the_stored_reference_of_a_crystal_from_the_bundled_labels(name, tmp_path):
    (path,) = write_stored_values(DATA, tmp_path, (name,))
    assert StoredValues.from_json(path.read_text(encoding="utf-8")) == stored_values(name)
    assert path.stat().st_size < 30_000
    assert list(tmp_path.iterdir()) == [path]


def test_frequencies_are_those_of_the_data_sets():
    silicon, fluoride, silver = (stored_values(name).modes_THz for name in ("si", "lif", "ag"))
    assert silicon["Gamma_O"] * THZ_TO_CM == pytest.approx(499.7, abs=0.1)
    assert fluoride["Gamma_TO"] * THZ_TO_CM == pytest.approx(309.3, abs=0.1)
    assert silver == pytest.approx({"X_T": 2.96, "X_L": 4.52}, abs=0.005)


@pytest.mark.parametrize(
    ("name", "lattice_constant", "modulus"), [("si", 5.477, 88.6), ("lif", 4.095, 69.1), ("ag", 4.166, 83.2)]
)
def test_equations_of_state_are_those_of_the_data_sets(name, lattice_constant, modulus):
    state = stored_values(name).equation_of_state
    assert state["lattice_constant_A"] == pytest.approx(lattice_constant, abs=1e-3)
    assert state["bulk_modulus_GPa"] == pytest.approx(modulus, abs=0.1)


@pytest.mark.parametrize("name", CRYSTAL_NAMES)
def test_the_force_of_a_compressed_crystal_is_the_slope_of_its_energy(name):
    wall = stored_values(name).walls["crystal"]
    slope = np.diff(wall.energy_eV) / np.diff(wall.distance_A)
    between = (np.array(wall.force_eV_A)[1:] + wall.force_eV_A[:-1]) / 2
    assert -slope == pytest.approx(between, rel=0.06, abs=0.1)


@pytest.mark.parametrize("name", MATERIALS)
def test_walls_are_named_as_the_scans_are_and_rise_inwards(name):
    names = {scan.name for scan in wall_scans(material(name), 2)}
    for wall_name, wall in stored_values(name).walls.items():
        assert wall_name in names
        assert np.all(np.diff(wall.distance_A) > 0)
        assert wall.force_eV_A[0] > 3.0


@pytest.mark.parametrize("name", CRYSTAL_NAMES)
def test_materials_are_the_labelled_crystals(name):
    crystal, item = CRYSTALS[name], MATERIALS[name]
    assert (item.formula, item.structure, item.lattice_constant_A) == (
        crystal.formula,
        crystal.structure,
        crystal.lattice_constant,
    )
    assert np.allclose(item.conventional_cell().positions, crystal.conventional_cell().positions)


def test_usual_distances_of_pairs_are_near_the_minima_of_the_labels():
    for name in CRYSTAL_NAMES:
        for scan in wall_scans(material(name), 2):
            if scan.name.startswith("dimer"):
                wall = stored_values(name).walls[scan.name]
                rest = np.interp(0.0, wall.force_eV_A[::-1], wall.distance_A[::-1])
                assert scan.usual_distance == pytest.approx(rest, rel=0.06), scan.name


def test_every_reference_tells_its_origin():
    for name in MATERIALS:
        provenance = stored_values(name).provenance
        assert "GPAW 26.7.0" in provenance if name in CRYSTALS else "GFN2-xTB" in provenance


def test_ethanol_has_all_its_modes_and_bonds():
    reference = stored_values("ethanol")
    frequencies = np.array(list(reference.modes_THz.values())) * THZ_TO_CM
    assert len(frequencies) == 3 * 9 - 6
    assert np.all(np.diff(frequencies) > 0)
    assert frequencies[0] > 150
    assert 3300 < frequencies[-1] < 3900  # the O-H stretch
    assert set(reference.walls) == {"bond_CC", "bond_CO", "bond_HO", "bond_HC"}


def test_the_recipe_of_a_molecule_takes_walls_and_modes_from_its_calculator():
    item = material("ethanol")
    reference = molecule_values(item, Network(item.molecule(), 2.0))
    assert len(reference.modes_THz) == 21
    assert min(reference.modes_THz.values()) > 0
    with pytest.raises(DataError, match="did not relax"):
        molecule_values(item, Altered(Network(item.molecule(), 2.0), force_change=lambda forces: forces + 1.0))


def test_a_missing_curve_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the labelled curve .*dimer\.extxyz|eos\.extxyz"):
        crystal_values(tmp_path, CRYSTALS["si"])


def test_a_curve_without_a_needed_cell_is_refused(tmp_path):
    for curve in ("dimer", "phonon", "eos"):
        frames = read(DATA / "ag" / f"{curve}.extxyz", ":")
        write(tmp_path / f"{curve}.extxyz", [atoms for atoms in frames if atoms.info.get("linear_scale") != 0.98])
    with pytest.raises(DataError, match=r"'ag' lacks cells at the linear scales \[0\.98\]"):
        crystal_values(tmp_path, CRYSTALS["ag"])


def test_a_mode_without_both_signs_is_refused(tmp_path):
    for curve in ("dimer", "phonon", "eos"):
        frames = read(DATA / "ag" / f"{curve}.extxyz", ":")
        write(tmp_path / f"{curve}.extxyz", [atoms for atoms in frames if atoms.info.get("amplitude") != -0.01])
    with pytest.raises(DataError, match="mode X_L of 'ag'"):
        crystal_values(tmp_path, CRYSTALS["ag"])


def test_an_unknown_material_is_refused_with_the_known_ones():
    with pytest.raises(ArtifactError, match="si, lif, ag, ethanol"):
        stored_values("gold")


def test_pairs_are_named_by_the_lighter_element_first():
    assert [pair_name(*pair) for pair in (("F", "Li"), ("O", "H"), ("Ag", "Ag"))] == ["LiF", "HO", "AgAg"]


def test_a_damaged_file_of_stored_values_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "stored").mkdir()
    for text in ("{", "[]", '{"walls": 3}', "{}"):
        (tmp_path / "stored/si.json").write_text(text)
        monkeypatch.setattr("scalarpath.artifacts.stored_values.files", lambda _package: tmp_path)
        with pytest.raises(ArtifactError, match=r"si\.json is damaged .*install scalarpath again"):
            stored_values("si")
