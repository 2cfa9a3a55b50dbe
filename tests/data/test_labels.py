import numpy as np
import pytest
from ase import Atoms, units
from ase.stress import full_3x3_to_voigt_6_stress

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import StreamedLabels, extract_labels, find_keys
from scalarpath.data.reading import Frame

STRESS = np.array([[1.0, 0.4, 0.5], [0.4, 2.0, 0.6], [0.5, 0.6, 3.0]])


@pytest.fixture
def cell():
    atoms = Atoms("Si2", positions=[[0, 0, 0], [1.5, 1.5, 1.5]], cell=[4, 4, 5], pbc=True)
    atoms.info["energy"] = -3.0
    atoms.arrays["forces"] = np.arange(6.0).reshape(2, 3)
    return atoms


def read(atoms, required=frozenset(), **spec):
    frame, spec = Frame(atoms, "some.extxyz", 7), DataConfig.read({"path": "x", **spec})
    return extract_labels(frame, find_keys([frame], spec), spec, frozenset(required))


def test_labels_are_found_in_info_and_arrays(cell):
    labels = read(cell)
    assert labels.energy == -3.0
    assert np.array_equal(labels.forces, cell.arrays["forces"])
    assert np.isnan(labels.stress).all()
    assert labels.has("energy")
    assert not labels.has("stress")


def test_labels_are_found_in_the_calculator(cell, with_labels):
    expected = np.ones((2, 3))
    bare = Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)
    labels = read(with_labels(bare, energy=-5.0, forces=expected, stress=full_3x3_to_voigt_6_stress(STRESS)))
    assert labels.energy == -5.0
    assert np.array_equal(labels.forces, expected)
    assert np.allclose(labels.stress, STRESS)


@pytest.mark.parametrize("prefix", ["REF_", "ref_", "DFT_", "dft_"])
def test_prefixed_keys_are_recognised(cell, prefix):
    cell.info = {f"{prefix}energy": -1.0}
    assert read(cell).energy == -1.0


def test_missing_label_is_nan_not_zero(cell):
    del cell.info["energy"], cell.arrays["forces"]
    labels = read(cell)
    assert np.isnan(labels.energy)
    assert np.isnan(labels.forces).all()


@pytest.mark.parametrize("shape", [(6,), (9,), (3, 3)])
def test_stress_shapes(cell, shape):
    cell.info["stress"] = full_3x3_to_voigt_6_stress(STRESS) if shape == (6,) else STRESS.reshape(shape)
    assert np.allclose(read(cell).stress, STRESS)


def test_virial_gives_minus_virial_over_volume(cell):
    cell.info["virial"] = -80.0 * STRESS  # the cell has 80 Å^3
    assert np.allclose(read(cell).stress, STRESS)


def test_units_and_sign_are_converted(cell):
    cell.info["stress"] = STRESS
    labels = read(cell, energy_unit="Ha", forces_unit="Ha/Bohr", stress_unit="kbar", stress_sign="compression_positive")
    assert labels.energy == pytest.approx(-3 * 27.211386, rel=1e-6)
    assert np.allclose(labels.forces, cell.arrays["forces"] * 51.422067, rtol=1e-6)
    assert np.allclose(labels.stress, -STRESS * 0.1 * units.GPa)


def test_given_key_wins_over_the_automatic_ones(cell):
    cell.info.update(REF_energy=-1.0, my_energy=-2.0)
    assert read(cell, energy_key="my_energy").energy == -2.0


def test_several_candidates_are_never_guessed_among(cell):
    cell.info["REF_energy"] = -1.0
    with pytest.raises(DataError, match=r"several keys could be the energy label \(energy, REF_energy\)"):
        read(cell)


def test_keys_are_chosen_over_all_frames_together(cell):
    other = cell.copy()
    other.info = {"dft_energy": -1.0}
    with pytest.raises(DataError, match="several keys"):
        find_keys([Frame(cell, "a", 0), Frame(other, "a", 1)], DataConfig.read({"path": "x"}))


def test_stress_and_virial_together_need_a_choice(cell):
    cell.info.update(stress=STRESS, virial=STRESS)
    with pytest.raises(DataError, match="both 'stress' and 'virial'"):
        read(cell)
    assert np.allclose(read(cell, stress_key="stress").stress, STRESS)
    assert np.allclose(read(cell, virial_key="virial").stress, -STRESS / 80)


def test_given_key_that_no_frame_has_lists_the_keys(cell):
    with pytest.raises(DataError, match=r"no frame has the key 'e0'.*the keys are: energy, forces\."):
        read(cell, energy_key="e0")


def test_same_key_with_two_values_is_refused(cell, with_labels):
    with_labels(cell, energy=-9.0)
    with pytest.raises(DataError, match=r"some\.extxyz, frame 7: 'energy' has different values"):
        read(cell)


@pytest.mark.parametrize("key", ["energy", "stress"])
def test_nan_label_names_the_frame(cell, key):
    cell.info["stress"] = STRESS.copy()
    if key == "energy":
        cell.info["energy"] = np.nan
    else:
        cell.info[key][1, 1] = np.nan
    with pytest.raises(DataError, match=rf"some\.extxyz, frame 7: NaN label in '{key}'"):
        read(cell)


def test_nan_forces_mask_atoms_and_the_frame_still_carries_forces(cell):
    cell.arrays["forces"][1] = np.nan
    labels = read(cell)
    assert np.isnan(labels.forces).sum() == 3
    assert labels.has("forces")
    cell.arrays["forces"][0, 0] = np.inf
    with pytest.raises(DataError, match=r"frame 7: NaN label in 'forces'"):
        read(cell)


@pytest.mark.parametrize(("key", "value"), [("energy", True), ("forces", np.ones((2, 3), dtype=bool))])
def test_logical_labels_are_no_numbers(cell, key, value):
    (cell.arrays if key == "forces" else cell.info)[key] = value
    with pytest.raises(DataError, match=rf"frame 7: {key} label '{key}' is true or false .*logical \(L\)"):
        read(cell)


@pytest.mark.parametrize(
    ("order", "six"),
    [
        (None, [1, 2, 3, 6, 5, 4]),
        ("ase", [1, 2, 3, 6, 5, 4]),
        ("vasp", [1, 2, 3, 4, 6, 5]),
        ("lammps", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_six_numbers_are_read_in_the_order_given(cell, order, six):
    cell.info["stress"] = np.array(six, dtype=float)
    labels = read(cell, stress_order=order)
    assert np.array_equal(labels.stress, [[1, 4, 5], [4, 2, 6], [5, 6, 3]])
    assert labels.ordered_stress
    cell.info["virial"] = -80.0 * cell.info.pop("stress")
    assert np.allclose(read(cell, stress_order=order).stress, [[1, 4, 5], [4, 2, 6], [5, 6, 3]])
    cell.info["virial"] = STRESS
    assert not read(cell, stress_order=order).ordered_stress


@pytest.mark.parametrize("shape", [(), (5,), (3, 2), (2, 3, 3)])
def test_wrong_stress_shape_names_the_frame(cell, shape):
    cell.info["stress"] = np.ones(shape)
    with pytest.raises(DataError, match=r"some\.extxyz, frame 7: stress label 'stress' has shape"):
        read(cell)


def test_unsymmetric_stress_is_refused(cell):
    cell.info["stress"] = np.arange(9.0).reshape(3, 3)
    with pytest.raises(DataError, match="not symmetric"):
        read(cell)


def test_label_that_is_text_is_refused(cell):
    cell.info["energy"] = "low"
    with pytest.raises(DataError, match="energy label 'energy' is not a number"):
        read(cell)


def test_stress_without_full_periodicity_is_dropped_or_refused_by_the_loss(cell):
    cell.info["stress"] = STRESS
    cell.pbc = (True, True, False)
    labels = read(cell)
    assert np.isnan(labels.stress).all()
    assert labels.dropped_stress
    with pytest.raises(DataError, match=r"frame 7: the loss weighs stress but the frame is not periodic"):
        read(cell, required={"stress"})


@pytest.mark.parametrize(
    "spec",
    [
        {"energy_unit": "erg"},
        {"forces_unit": "eV/mile"},
        {"stress_unit": "psi"},
        {"stress_sign": "positive"},
        {"stress_key": "stress", "virial_key": "virial"},
    ],
)
def test_unknown_unit_sign_or_contradiction_is_a_config_error(spec):
    with pytest.raises(ConfigError):
        DataConfig.read({"path": "x", **spec})


def keyed(*infos: dict) -> list[Frame]:
    return [Frame(Atoms("Si", info=info, cell=[4, 4, 4], pbc=True), "some.extxyz", k) for k, info in enumerate(infos)]


def streamed(frames: list[Frame], **spec) -> list[float]:
    labels = StreamedLabels(DataConfig.read({"path": "x", **spec}))
    found = [labels.of(frame).energy for frame in frames]
    labels.close()
    return found


def test_labels_one_by_one_are_those_of_all_frames():
    frames = keyed({}, {"dft_energy": -1.0}, {"other": 3.0}, {"dft_energy": -2.0})
    assert streamed(frames) == pytest.approx([np.nan, -1.0, np.nan, -2.0], nan_ok=True)
    assert streamed(frames, energy_key="other")[2] == 3.0


@pytest.mark.parametrize(
    ("infos", "spec", "message"),
    [
        ([{"energy": 1.0}, {"REF_energy": 1.0}], {}, "several keys could be the energy label"),
        ([{"stress": STRESS}, {"virial": STRESS}], {}, "both 'stress' and 'virial' could be the stress label"),
        ([{"energy": 1.0}, {}], {"energy_key": "E"}, "no frame has the key 'E' given as data.energy_key"),
    ],
)
def test_labels_one_by_one_are_refused_as_those_of_all_frames(infos, spec, message):
    frames = keyed(*infos)
    for read_all in (streamed, lambda frames, **spec: find_keys(frames, DataConfig.read({"path": "x", **spec}))):
        with pytest.raises(DataError, match=message):
            read_all(frames, **spec)
