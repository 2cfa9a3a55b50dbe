"""A structure of one's own on the bench: crystals of any symmetry, slabs, molecules; what they share with the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.calculators.emt import EMT
from ase.io import write
from static_potentials import Altered

from scalarpath.artifacts.bench import Bench
from scalarpath.artifacts.materials import material
from scalarpath.artifacts.measure import drawn
from scalarpath.artifacts.measures.elastic import measure_elastic
from scalarpath.artifacts.measures.elastic_tensor import measure_tensor, tensor_averages, unit_strains
from scalarpath.artifacts.measures.force_constants import band_path, crystal_phonons, path_axis
from scalarpath.artifacts.measures.phonons import measure_phonons
from scalarpath.artifacts.measures.walls import minimum_distance, pair_in_crystal
from scalarpath.artifacts.oracles import TightBindingSilver
from scalarpath.artifacts.own_structure import MAX_ATOMS, own_structure
from scalarpath.artifacts.pair_search import heights
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.artifacts.suite import Outcome, run_suite
from scalarpath.core.errors import ArtifactError, ConfigError, DataError
from scalarpath.evaluation.benches import subject_of

SMOKE = measure_settings(preset("smoke"))
SMOKE |= {
    "repulsion": replace(SMOKE["repulsion"], points=12, consistency_points=2),
    "phonons": replace(SMOKE["phonons"], band_points=30),
}
HEXAGONAL = bulk("Cu", "hcp", a=2.55, c=4.18)
ORDERED = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[2.8, 2.8, 3.6], pbc=True)
SLAB = fcc100("Cu", (2, 2, 3), vacuum=6.0)


def outcomes(atoms: Atoms, calculator, *measures: str, reference=None, settings=SMOKE) -> dict[str, Outcome]:
    bench = Bench(own_structure("mine", atoms), calculator, {"calculator": calculator}, reference, "")
    return {outcome.name: outcome for outcome in run_suite(bench, settings, measures)}


def rows(outcome: Outcome) -> dict:
    assert not outcome.error, outcome.details
    return {row.key: row for row in outcome.rows}


def test_silver_from_a_file_has_the_modes_and_the_constants_of_the_silver_of_the_table() -> None:
    silver, potential = material("ag"), TightBindingSilver()
    mine = own_structure("mine", silver.conventional_cell())
    known = measure_phonons(potential, silver, replace(SMOKE["phonons"], band_points=11))
    found = measure_phonons(potential, mine, replace(SMOKE["phonons"], band_points=11))
    assert len(found.band_frequency_THz[0]) == 3  # four atoms in the file, one in the primitive cell
    assert found.counted_modes == known.counted_modes
    phonon = crystal_phonons(potential, mine, SMOKE["phonons"])
    longitudinal = {mode.name: mode.frequency_THz for mode in known.modes}["X_L"]
    assert phonon.get_frequencies([0.5, 0.5, 0.0])[-1] == pytest.approx(longitudinal, rel=1e-4)
    expected = measure_elastic(potential, silver, SMOKE["elastic"])
    tensor = measure_tensor(potential, mine.conventional_cell(), "mine", SMOKE["elastic"])
    assert tensor.cell["a"] == pytest.approx(expected.equation_of_state.lattice_constant_A, abs=2e-3)
    assert tensor.bulk_modulus_GPa == pytest.approx(expected.equation_of_state.bulk_modulus_GPa, rel=0.02)
    for name, (i, j) in {"c11": (0, 0), "c12": (0, 1), "c44": (3, 3)}.items():
        assert tensor.tensor_GPa[i][j] == pytest.approx(expected.elastic_GPa[name], rel=0.02)


def test_a_hexagonal_tensor_has_hexagonal_symmetry_and_does_not_depend_on_the_start() -> None:
    tensor = np.array(measure_tensor(EMT(), HEXAGONAL, "", SMOKE["elastic"]).tensor_GPa)
    assert tensor[5, 5] == pytest.approx((tensor[0, 0] - tensor[0, 1]) / 2, rel=0.01)
    assert tensor[3, 3] == pytest.approx(tensor[4, 4], rel=1e-3)
    assert tensor[0, 2] == pytest.approx(tensor[1, 2], rel=1e-3)
    assert np.abs(tensor[:3, 3:]).max() < 0.5
    strained = HEXAGONAL.copy()
    strained.set_cell(strained.cell * 1.02, scale_atoms=True)
    again = measure_tensor(EMT(), strained, "", SMOKE["elastic"])
    np.testing.assert_allclose(again.tensor_GPa, tensor, atol=2.0)


def test_averages_of_an_isotropic_tensor_are_its_two_constants() -> None:
    bulk_modulus, shear = 100.0, 40.0
    tensor = np.zeros((6, 6))
    tensor[:3, :3] = bulk_modulus - 2 / 3 * shear
    tensor += np.diag([2 * shear] * 3 + [shear] * 3)
    assert tensor_averages(tensor) == pytest.approx((bulk_modulus, shear, 2 * shear))
    assert np.allclose(unit_strains()[3], [[0, 0, 0], [0, 0, 0.5], [0, 0.5, 0]])


def test_a_soft_model_of_any_crystal_is_shown_as_soft_with_the_right_size() -> None:
    found = outcomes(ORDERED, Altered(EMT(), 0.8), "phonons", "elastic", "repulsion", reference=EMT())
    phonons, elastic = rows(found["phonons"]), rows(found["elastic"])
    for key in ("mean_frequency_THz", "Gamma_highest_optical_THz", "Gamma_highest_optical_own_lattice_THz"):
        assert phonons[key].error == pytest.approx(0.8**0.5 - 1, abs=2e-3)
    assert elastic["bulk_modulus_GPa"].error == pytest.approx(-0.2, abs=0.01)
    assert elastic["c66_GPa"].error == pytest.approx(-0.2, abs=0.02)
    assert elastic["c_A"].error == pytest.approx(0.0, abs=5e-3)
    assert rows(found["repulsion"])["softening_slope"].error == pytest.approx(-0.2)
    assert drawn(found["phonons"].measure, found["phonons"].measurement) is not None


def test_the_bands_go_along_the_path_of_the_lattice_and_jump_where_it_does() -> None:
    mine = own_structure("mine", HEXAGONAL)
    phonon = crystal_phonons(EMT(), mine, replace(SMOKE["phonons"], supercell_repeat=1))
    distance, ticks, labels = path_axis(band_path(phonon, mine, 60))
    assert labels == ["G", "M", "K", "G", "A", "L", "H", "A|L", "M|K", "H"]
    assert len(distance) == 60
    assert len(ticks) == len(labels)


def test_an_unstable_crystal_has_imaginary_modes_and_a_negative_stiffness() -> None:
    found = outcomes(bulk("Cu", "bcc", a=2.87), EMT(), "phonons", "elastic")
    assert rows(found["phonons"])["imaginary_modes"].model > 0
    assert rows(found["elastic"])["lowest_stiffness_GPa"].model < 0


def test_supercells_of_a_flat_or_skew_cell_are_high_enough() -> None:
    mine = own_structure("mine", HEXAGONAL)
    assert heights(mine.supercell(10.0)).min() >= 10.0  # its vectors are longer than it is high
    assert heights(mine.repeated(2)).min() >= 8.0
    scan = pair_in_crystal(mine, 2)
    assert scan.usual_distance == pytest.approx(mine.nearest_neighbour)
    slab = own_structure("slab", SLAB).supercell(12.0)
    assert slab.cell.lengths()[2] == pytest.approx(SLAB.cell.lengths()[2])


def test_a_left_handed_cell_is_the_same_crystal() -> None:
    mirrored = Atoms(HEXAGONAL.numbers, HEXAGONAL.positions, cell=HEXAGONAL.cell[[1, 0, 2]], pbc=True)
    found = [rows(outcomes(atoms, EMT(), "phonons")["phonons"]) for atoms in (HEXAGONAL, mirrored)]
    assert found[1]["mean_frequency_THz"].model == pytest.approx(found[0]["mean_frequency_THz"].model, rel=1e-4)


def test_the_usual_distance_of_a_free_pair_is_where_the_calculator_has_its_minimum() -> None:
    pair = minimum_distance(EMT(), "Cu", "Cu", 2.64)
    energies = []
    for distance in (pair - 0.06, pair, pair + 0.06):
        atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, distance]], calculator=EMT())
        energies.append(atoms.get_potential_energy())
    assert energies[1] == min(energies)


def test_what_a_structure_does_not_have_is_left_out_with_the_reason() -> None:
    every = ("phonons", "elastic", "rdf")
    slab = outcomes(SLAB, EMT(), *every)
    assert {outcome.skipped for outcome in slab.values()} == {"mine is periodic in some directions only"}
    alone = outcomes(molecule("N2"), EMT(), *every)
    assert alone["rdf"].skipped == alone["elastic"].skipped == "mine is a molecule"
    assert rows(alone["phonons"])["highest_mode_THz"].model > 0
    assert drawn(alone["phonons"].measure, alone["phonons"].measurement) is None  # no reference, so no shifts
    (liquid,) = outcomes(HEXAGONAL, EMT(), "rdf").values()
    assert "set settings.rdf.temperature_K" in liquid.skipped
    silent = Altered(EMT(), 1.0)
    silent.implemented_properties = ("energy", "forces")
    assert outcomes(HEXAGONAL, silent, "elastic")["elastic"].skipped == "Altered gives no stress"


def test_a_crystal_is_sampled_at_a_given_temperature() -> None:
    settings = SMOKE | {
        "rdf": replace(
            SMOKE["rdf"], temperature_K=300.0, melt_ps=0.0, equilibrate_ps=0.05, duration_ps=0.2, block_ps=0.05
        ),
    }
    found = rows(outcomes(ORDERED, EMT(), "rdf", settings=settings)["rdf"])
    assert found["first_peak_A_total"].model == pytest.approx(2.75, abs=0.15)


def test_atoms_that_do_not_come_to_rest_are_said_and_not_measured() -> None:
    rattled = ORDERED.repeat(2)
    rattled.rattle(0.1, seed=0)
    impatient = SMOKE | {name: replace(SMOKE[name], relaxation_steps=1) for name in ("phonons",)}
    impatient["elastic"] = replace(SMOKE["elastic"], cell_relaxation_steps=1)
    found = outcomes(rattled, EMT(), "phonons", "elastic", settings=impatient)
    assert found["phonons"].error.startswith("the atoms did not relax in 1 steps")
    row = rows(found["elastic"])["volume_A3_atom"]
    assert np.isnan(row.model)
    assert row.note == "cell and atoms did not relax in 1 steps"


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]]), r"two atoms that are 0.1 Å apart"),
        (Atoms("Cu", cell=[3, 3, 0], pbc=True), "periodic along a cell vector that is missing or flat"),
        (bulk("Cu", cubic=True).repeat(7), f"1372 atoms, more than {MAX_ATOMS}"),
        (Atoms("Cu"), "is one atom alone"),
        (Atoms("Cu", cell=[10, 10, 10], pbc=True), "is one atom alone"),
    ],
)
def test_a_structure_that_cannot_be_measured_is_refused(atoms: Atoms, message: str) -> None:
    with pytest.raises(ArtifactError, match=f"structure = mine .*{message}"):
        own_structure("mine", atoms)


def test_a_file_is_read_and_refused_by_its_name(tmp_path) -> None:
    write(tmp_path / "two.extxyz", [HEXAGONAL, ORDERED])
    with pytest.raises(ArtifactError, match=r"two\.extxyz has several frames; choose one .*two\.extxyz@0"):
        subject_of(None, str(tmp_path / "two.extxyz"), None, None)
    second = subject_of(None, f"{tmp_path}/two.extxyz@1", None, None)
    assert (second.material.name, second.material.formula) == ("two", "AuCu")
    assert second.reference is None
    with pytest.raises(DataError, match="no such file"):
        subject_of(None, str(tmp_path / "absent.cif"), None, None)
    compared = subject_of(None, f"{tmp_path}/two.extxyz@1", "ase.calculators.emt:EMT", None)
    assert isinstance(compared.reference, EMT)
    with pytest.raises(ArtifactError, match=r"reference = .*TightBindingSilver cannot compute AuCu"):
        subject_of(None, f"{tmp_path}/two.extxyz@1", "scalarpath.artifacts.oracles:TightBindingSilver", None)
    with pytest.raises(ConfigError, match=r"reference = .*correct reference_options"):
        subject_of("si", None, "ase.build:bulk", {})
