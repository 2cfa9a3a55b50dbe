"""Each malformed input ends in one exception with one clear sentence that names the place and the fix."""

import lzma
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.datamodule import AtomicDataModule

CASES = {}


def case(error, *words, cutoff=5.0, required=("energy", "forces")):
    """Register a case: a function of the fixtures that returns the settings, and what the message must hold."""

    def register(function):
        CASES[function.__name__] = (function, error, words, cutoff, frozenset(required))
        return function

    return register


class Kit:
    """The fixtures in one hand."""

    def __init__(self, write, settings, silicon, label, folder):
        self.write, self.settings, self.silicon, self.label, self.folder = write, settings, silicon, label, folder

    def text(self, edit, count=10):
        """Settings for frames whose text was edited."""
        return self.settings(self.write(edit(Path(self.write(self.silicon(count))).read_text()), "bad.extxyz"))

    def frames(self, edit, count=10, **changes):
        """Settings for frames edited one and all."""
        frames = self.silicon(count)
        edit(frames)
        return self.settings(self.write(frames, "bad.extxyz"), **changes)


@pytest.fixture
def kit(write, settings, make_silicon, with_labels, tmp_path):
    return Kit(write, settings, make_silicon, with_labels, tmp_path)


@case(DataError, "nowhere.extxyz", "no such file")
def missing_file(kit):
    return kit.settings("nowhere.extxyz")


@case(DataError, "none of the 0 files", "pattern")
def folder_instead_of_file(kit):
    return kit.settings(str(kit.folder))


@case(DataError, "bad.extxyz", "empty")
def empty_file(kit):
    return kit.text(lambda _: "")


@case(DataError, "bad.extxyz, frame 9", "cut short")
def truncated_last_frame(kit):
    return kit.text(lambda text: text[: text.rstrip().rfind("\n")])


@case(DataError, "bad.extxyz, frame 0", "malformed")
def prose_instead_of_frames(kit):
    return kit.text(lambda _: "once upon a time\nthere was a crystal\n")


@case(DataError, "bad.extxyz, frame 0", "Qq")
def unknown_chemical_symbol(kit):
    return kit.text(lambda text: text.replace("\nSi ", "\nQq ", 1))


@case(DataError, "bad.extxyz.xz", "decompressed")
def truncated_compression(kit):
    path = kit.folder / "bad.extxyz.xz"
    path.write_bytes(lzma.compress(Path(kit.write(kit.silicon(10))).read_bytes())[:-400])
    return kit.settings(str(path))


@case(DataError, "unreadable.zzz", "file type")
def unknown_file_type(kit):
    return kit.settings(kit.write("1\n2\n", "unreadable.zzz"))


@case(DataError, "bad.extxyz, frame 4", "NaN label", "energy")
def nan_energy(kit):
    return kit.frames(lambda frames: frames[4].calc.results.update(energy=np.nan))


@case(DataError, "bad.extxyz, frame 4", "NaN label", "forces")
def infinite_force(kit):
    return kit.frames(lambda frames: frames[4].calc.results["forces"].__setitem__((2, 1), np.inf))


@case(DataError, "bad.extxyz", "forces", "keys: config_type, energy, stress")
def missing_label_that_the_loss_weighs(kit):
    return kit.frames(lambda frames: [atoms.calc.results.pop("forces") for atoms in frames])


@case(DataError, "bad.extxyz", "'dft_nrg'", "data.energy_key", "energy, forces, stress")
def key_that_no_frame_has(kit):
    return kit.frames(lambda _: None, energy_key="dft_nrg")


@case(DataError, "bad.extxyz", "several keys", "data.energy_key")
def ambiguous_keys(kit):
    return kit.frames(lambda frames: [atoms.info.update(REF_energy=-1.0) for atoms in frames])


@case(DataError, "bad.extxyz, frame 3", "shape (5,)", "data.stress_key")
def wrong_stress_shape(kit):
    return kit.frames(lambda frames: frames[3].info.update(s=np.ones(5)), stress_key="s")


@case(DataError, "frame 0", "Au", "test", "no train frame")
def unknown_element_at_test_time(kit):
    def gold(frames):
        for atoms in frames:
            atoms.numbers[0] = 79

    return {**kit.settings(kit.write(kit.silicon(6), "train.extxyz")), "test_path": kit.frames(gold, 2)["path"]}


@case(DataError, "bad.extxyz, frame 5", "0.1 Å", "remove")
def atoms_on_top_of_each_other(kit):
    def edit(frames):
        frames[5].positions[1] = frames[5].positions[0] + [0.05, 0, 0]

    return kit.frames(edit)


@case(DataError, "bad.extxyz, frame 2", "stress", "not periodic", required=("energy", "forces", "stress"))
def non_periodic_frame_with_stress_loss(kit):
    return kit.frames(lambda frames: frames[2].set_pbc((True, True, False)))


@case(DataError, "bad.extxyz, frame 0", "stress", "not periodic", required=("energy", "forces", "stress"))
def molecules_with_stress_loss(kit):
    def edit(frames):
        for atoms in frames:
            atoms.calc.results.pop("stress")
            atoms.set_pbc(False)

    return kit.frames(edit)


@case(DataError, "no atom of the train split has a neighbour", "cutoff", cutoff=1.0)
def every_atom_isolated(kit):
    return kit.frames(lambda _: None)


@case(DataError, "bad.extxyz, frame", "also in", "remove")
def duplicated_frame_across_splits(kit):
    def edit(frames):
        frames[1:] = [frames[0]] * (len(frames) - 1)

    return kit.frames(edit)


@case(DataError, "test.extxyz, frame 0", "also in", "train.extxyz, frame 3")
def given_test_file_overlaps_train_file(kit):
    frames = kit.silicon(6)
    return kit.settings(
        kit.write(frames, "train.extxyz"), valid_size=1, test_path=kit.write(frames[3:4], "test.extxyz")
    )


@case(DataError, "splits.json", "frame 1 is in train and in test")
def split_file_overlaps(kit):
    splits = kit.write('{"train": [0, 1], "valid": [2], "test": [1]}', "splits.json")
    return kit.frames(lambda _: None, split="file", split_file=splits)


@case(DataError, "bad.extxyz", "the train split", "empty")
def split_left_without_frames(kit):
    return kit.frames(lambda _: None, count=2, valid_size=1, test_size=1)


@case(ConfigError, "more than the 10 frames")
def splits_larger_than_the_set(kit):
    return kit.frames(lambda _: None, train_size=9, valid_size=2, test_size=1)


@case(ConfigError, "cutoff", "at least 0.1", cutoff=0)
def cutoff_of_zero(kit):
    return kit.frames(lambda _: None)


@case(ConfigError, "cutoff", "at least 0.1", cutoff=-5.0)
def negative_cutoff(kit):
    return kit.frames(lambda _: None)


@case(ConfigError, "cutoff", "finite", cutoff=float("nan"))
def cutoff_that_is_no_number(kit):
    return kit.frames(lambda _: None)


@case(ConfigError, "'furlong'", "eV")
def unknown_unit(kit):
    return kit.frames(lambda _: None, energy_unit="furlong")


@case(ConfigError, "stress_sign", "tension_positive, compression_positive")
def unknown_sign(kit):
    return kit.frames(lambda _: None, stress_sign="negative")


@case(ConfigError, "energy_kye", "did you mean 'energy_key'?")
def misspelt_setting(kit):
    return kit.frames(lambda _: None, energy_kye="energy")


@case(ConfigError, "data.path is not set")
def path_not_given(kit):
    return kit.settings("???")


@case(ConfigError, "the loss weighs 'dipole'", required=("energy", "dipole"))
def loss_on_an_unknown_label(kit):
    return kit.frames(lambda _: None)


@case(DataError, "bad.extxyz, frame 6", "cell")
def periodic_without_cell(kit):
    frames = kit.silicon(10)
    frames[6].calc.results.pop("stress")
    frames[6].cell[2] = 0.0
    return kit.settings(kit.write(frames, "bad.extxyz"))


@case(DataError, "bad.extxyz, frame 8", "not finite")
def position_that_is_not_finite(kit):
    return kit.frames(lambda frames: frames[8].positions.__setitem__((0, 0), np.inf))


@case(DataError, "rank 1 for 2 elements (Li, F)", "data.e0s")
def rank_deficient_references(kit):
    def edit(frames):
        for atoms in frames:
            atoms.numbers[:4], atoms.numbers[4:] = 3, 9

    return kit.frames(edit)


@case(DataError, "no energy for Si")
def given_references_without_an_element(kit):
    return kit.frames(lambda _: None, e0s={"Ge": -1.0})


@case(ConfigError, "data.e0s must be one of", "least_squares")
def unknown_reference_method(kit):
    return kit.frames(lambda _: None, e0s="lsq")


@case(DataError, "bad.extxyz, frame 7", "exactly 0", "leave a missing energy out")
def zero_in_place_of_a_missing_energy(kit):
    return kit.frames(lambda frames: frames[7].calc.results.update(energy=0.0))


@case(DataError, "bad.extxyz", "looks like GPa", "data.stress_unit=GPa", required=("energy", "forces", "stress"))
def stress_in_gigapascal(kit):
    return kit.frames(lambda frames: [atoms.calc.results["stress"].__imul__(160.0 * 10) for atoms in frames])


@case(DataError, "no atoms")
def frame_without_atoms(kit):
    return kit.settings(kit.write([Atoms(), *kit.silicon(5)], "bad.extxyz"))


@case(ConfigError, "data.molecule='water'", "ethanol")
def unknown_molecule(kit):
    return kit.settings(None, source="rmd17", molecule="water", root=str(kit.folder))


@pytest.mark.parametrize("name", CASES)
def test_malformed_input_ends_in_one_sentence(name, kit):
    build, error, words, cutoff, required = CASES[name]
    config = build(kit)
    with pytest.raises(error) as caught:
        AtomicDataModule(config, cutoff=cutoff, seed=0, required=required).setup()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    for word in words:
        assert word in message


def test_a_frame_with_some_isolated_atoms_is_legal(kit):
    """An atom without neighbours has the energy E0: it is noted in the audit and trained on."""

    def edit(frames):
        frames[0].set_cell([40, 5.43, 5.43])
        frames[0].positions[7, 0] = 25.0

    data = AtomicDataModule(kit.frames(edit), cutoff=3.0, seed=0)
    data.setup()
    assert any("without a neighbour" in text and "1 atoms" in text for text in data.audit.warnings)
