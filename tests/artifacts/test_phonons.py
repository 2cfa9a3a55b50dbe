"""Phonons and harmonic frequencies against closed formulas and independent calculations."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.vibrations import VibrationsData
from static_potentials import Altered, Network, PairPotential, morse, springs

from scalarpath.artifacts.materials import MATERIALS
from scalarpath.artifacts.measures.harmonic import harmonic_frequencies, measure_harmonic
from scalarpath.artifacts.measures.phonons import measure_phonons
from scalarpath.artifacts.oracles import oracle
from scalarpath.artifacts.registry import measure_settings, preset
from scalarpath.artifacts.stored_values import StoredValues
from scalarpath.core.errors import ArtifactError
from scalarpath.labelling.curves import frozen_phonon_frequency, phonon_patterns
from scalarpath.labelling.settings import CRYSTALS

SILVER, ETHANOL = MATERIALS["ag"], MATERIALS["ethanol"]
SMOKE = measure_settings(preset("smoke"), ["phonons"])
CRYSTAL, MOLECULE = SMOKE["phonons"], replace(SMOKE["harmonic"], displacement_A=1e-3)
STIFFNESS = 3.0  # eV/Å^2


def thz(curvature_over_mass):
    """Frequency of omega^2 in eV/Å^2/u."""
    return np.sqrt(curvature_over_mass * units._e * 1e20 / units._amu) / (2 * np.pi) * 1e-12


def spring_crystal(name, stretch=1.0, stiffness=STIFFNESS):
    length = MATERIALS[name].nearest_neighbour * stretch
    return springs(stiffness, length, 1.2 * MATERIALS[name].nearest_neighbour)


def modes(result):
    return {mode.name: mode for mode in result.modes}


def test_springs_between_silver_neighbours_give_the_textbook_x_modes():
    found = modes(measure_phonons(spring_crystal("ag"), SILVER, CRYSTAL))
    mass = MATERIALS["ag"].conventional_cell().get_masses()[0]
    assert found["X_L"].frequency_THz == pytest.approx(thz(8 * STIFFNESS / mass), rel=1e-4)
    assert found["X_T"].frequency_THz == pytest.approx(thz(4 * STIFFNESS / mass), rel=1e-4)


def test_springs_between_silicon_neighbours_give_the_textbook_optical_mode():
    found = modes(measure_phonons(spring_crystal("si"), MATERIALS["si"], CRYSTAL))
    mass = MATERIALS["si"].conventional_cell().get_masses()[0]
    assert found["Gamma_O"].frequency_THz == pytest.approx(thz(8 * STIFFNESS / (3 * mass)), rel=1e-4)


def test_springs_between_ions_give_the_textbook_transverse_mode():
    found = modes(measure_phonons(spring_crystal("lif"), MATERIALS["lif"], CRYSTAL))
    light, heavy = MATERIALS["lif"].conventional_cell().get_masses()[:2]
    assert found["Gamma_TO"].frequency_THz == pytest.approx(thz(2 * STIFFNESS * (1 / light + 1 / heavy)), rel=1e-4)


@pytest.mark.parametrize(("name", "model"), [("ag", EMT()), ("si", oracle("si_sw")())])
def test_modes_agree_with_frozen_phonons_of_one_cell(name, model):
    found = modes(measure_phonons(model, MATERIALS[name], CRYSTAL))
    for mode, pattern in phonon_patterns(CRYSTALS[name]).items():
        atoms = CRYSTALS[name].conventional_cell()
        atoms.positions += 0.01 * pattern
        atoms.info["amplitude"] = 0.01
        atoms.calc = model
        assert found[mode].frequency_THz == pytest.approx(frozen_phonon_frequency(atoms, pattern), rel=2e-3)


def test_the_size_of_supercell_and_displacement_does_not_matter_to_modes_that_fit():
    small, large = (
        modes(measure_phonons(EMT(), SILVER, replace(CRYSTAL, supercell_repeat=repeat, displacement_A=step)))
        for repeat, step in ((2, 0.005), (3, 0.02))
    )
    for name in small:
        assert small[name].frequency_THz == pytest.approx(large[name].frequency_THz, rel=1e-3)


def test_forces_scaled_by_s_shift_every_mode_by_the_root_of_s():
    result = measure_phonons(Altered(EMT(), 0.81), SILVER, CRYSTAL, EMT())
    for mode in result.modes:
        assert mode.relative_shift == pytest.approx(-0.1, abs=1e-9)
        assert mode.own_lattice_relative_shift == pytest.approx(-0.1, abs=1e-6)
    assert result.rms_relative_shift == pytest.approx(0.1)


def test_own_lattice_removes_the_error_of_the_lattice_constant():
    stretch = 1.01
    reference = morse(minimum=2.9, cutoff=3.5)
    model = PairPotential(
        lambda r: reference.energy_of(r / stretch), lambda r: reference.slope_of(r / stretch) / stretch, 3.5 * stretch
    )
    result = measure_phonons(model, SILVER, CRYSTAL, reference)
    assert result.own_lattice_constant_A == pytest.approx(stretch * 4.15, rel=5e-5)
    for mode in result.modes:
        assert mode.own_lattice_relative_shift == pytest.approx(1 / stretch - 1, abs=3e-4)
        assert abs(mode.relative_shift) > 0.03


def test_stored_values_serve_as_reference_and_unknown_modes_are_nan():
    state = {"lattice_constant_A": 4.15, "energy_eV_atom": 0.0, "bulk_modulus_GPa": 1.0}
    mass = MATERIALS["ag"].conventional_cell().get_masses()[0]
    stored = StoredValues("ag", "", modes_THz={"X_L": thz(8 * STIFFNESS / mass) / 1.1}, equation_of_state=state)
    found = modes(measure_phonons(spring_crystal("ag"), SILVER, CRYSTAL, stored))
    assert found["X_L"].relative_shift == pytest.approx(0.1, abs=1e-3)
    assert found["X_L"].own_lattice_relative_shift == pytest.approx(0.1, abs=2e-3)
    assert np.isnan(found["X_T"].relative_shift)


def test_a_crystal_under_tension_of_the_wrong_sign_has_imaginary_modes_and_a_sound_one_none():
    sound = measure_phonons(spring_crystal("ag"), SILVER, CRYSTAL)
    unstable = measure_phonons(spring_crystal("ag", stretch=1.3), SILVER, CRYSTAL)
    assert sound.imaginary_modes == 0
    assert sound.counted_modes == 3 * 32 - 3
    assert unstable.imaginary_modes > 10
    assert unstable.lowest_band_frequency_THz < -unstable.imaginary_threshold_THz
    assert "the model has no equilibrium lattice constant near the reference's" in unstable.notes
    assert np.isnan(unstable.modes[0].own_lattice_frequency_THz)


def test_bands_pass_through_gamma_and_x():
    result = measure_phonons(EMT(), SILVER, CRYSTAL)
    bands = np.array(result.band_frequency_THz)
    assert bands.shape == (CRYSTAL.band_points, 3)
    assert result.band_tick_labels[:2] == ["G", "X"]
    assert bands[0] == pytest.approx(0.0, abs=1e-3)
    at_x = bands[int(np.argmin(np.abs(np.array(result.band_distance) - result.band_tick_distance[1])))]
    found = modes(result)
    assert at_x == pytest.approx([found["X_T"].frequency_THz] * 2 + [found["X_L"].frequency_THz])


def test_results_are_json():
    assert "modes" in json.loads(json.dumps(asdict(measure_phonons(spring_crystal("ag"), SILVER, CRYSTAL))))


def test_a_molecule_has_no_bands_and_a_crystal_no_molecular_frequencies():
    with pytest.raises(ArtifactError, match="'ethanol' is a molecule"):
        measure_phonons(EMT(), ETHANOL, CRYSTAL)
    with pytest.raises(ArtifactError, match="'ag' is a crystal"):
        measure_harmonic(EMT(), SILVER, MOLECULE)


def test_a_morse_molecule_has_one_frequency_of_known_size():
    atoms = Atoms("AgAg", [[0, 0, 0], [1.5, 1.5, 1.4705]])
    length = atoms.get_distance(0, 1)
    atoms.calc = morse(depth=2.0, width=1.5, minimum=length)
    found = harmonic_frequencies(atoms, 0.001)
    expected = thz(2 * 2.0 * 1.5**2 * 2 / atoms.get_masses()[0])
    assert found == pytest.approx([expected], rel=1e-4)


def elastic_network():
    return Network(MATERIALS["ethanol"].molecule(), stiffness=2.0)


def test_frequencies_of_a_molecule_agree_with_those_of_ase():
    atoms = MATERIALS["ethanol"].molecule()
    atoms.calc = elastic_network()
    hessian = np.empty((27, 27))
    for coordinate in range(27):
        moved = atoms.copy()
        moved.positions.flat[coordinate] += 1e-4
        hessian[coordinate] = -atoms.calc.get_forces(moved).ravel() / 1e-4
    expected = VibrationsData.from_2d(atoms, (hessian + hessian.T) / 2).get_energies().real[6:]
    found = harmonic_frequencies(atoms, 1e-4)
    assert len(found) == 21
    assert found * 1e12 / units.second * 2 * np.pi * units._hbar * units.J * units.second == pytest.approx(
        expected, rel=1e-3
    )


def test_a_red_shifted_molecule_is_caught_with_sign_and_size():
    result = measure_harmonic(Altered(elastic_network(), 0.81), ETHANOL, MOLECULE, elastic_network())
    assert result.relative_shift == pytest.approx([-0.1] * 21, abs=1e-6)
    assert result.rms_relative_shift == pytest.approx(0.1)
    assert result.top_modes_relative_shift == pytest.approx(-0.1)
    assert result.imaginary_modes == 0


def test_stored_frequencies_of_a_molecule_serve_as_reference_in_any_order():
    found = measure_harmonic(elastic_network(), ETHANOL, MOLECULE).frequency_THz
    stored = {f"mode_{number}": value / 0.98 for number, value in reversed(list(enumerate(found)))}
    result = measure_harmonic(elastic_network(), ETHANOL, MOLECULE, StoredValues("ethanol", "", modes_THz=stored))
    assert result.relative_shift == pytest.approx([-0.02] * 21)


def test_a_molecule_that_does_not_relax_is_nan_and_said():
    settings = replace(MOLECULE, relaxation_steps=1)
    result = measure_harmonic(morse(minimum=1.2), ETHANOL, settings, elastic_network())
    assert np.isnan(result.frequency_THz).all()
    assert np.isnan(result.rms_relative_shift)
    assert result.notes == ["the molecule did not relax within 1 steps"]
