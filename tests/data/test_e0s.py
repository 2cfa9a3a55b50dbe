import numpy as np
import pytest
from ase import Atoms

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.e0s import isolated_atom_frames, reference_energies
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.reading import Frame

E0 = {1: -13.6, 8: -430.0}


@pytest.fixture
def molecules(with_labels):
    def molecules(formulas, shift=0.0):
        frames = []
        for k, formula in enumerate(formulas):
            atoms = Atoms(formula)
            atoms.positions[:, 0] = np.arange(len(atoms))
            energy = sum(E0[int(z)] for z in atoms.numbers) + (shift if len(atoms) > 1 else 0.0)
            frames.append(Frame(with_labels(atoms, energy=energy), "mol.extxyz", k))
        spec = DataConfig.read({"path": "x"})
        return frames, [extract_labels(frame, find_keys(frames, spec), spec) for frame in frames]

    return molecules


def test_least_squares_recovers_the_energies_of_the_elements(molecules):
    frames, labels = molecules(["H2O", "H2", "O2", "H3O"])
    assert reference_energies("least_squares", frames, labels, range(4), 5.0) == pytest.approx(E0)


def test_least_squares_leaves_no_shift(molecules):
    frames, labels = molecules(["H2O", "H2", "O2", "H3O"], shift=0.7)
    e0s = reference_energies("least_squares", frames, labels, range(4), 5.0)
    residuals = [b.energy - sum(e0s[int(z)] for z in a.atoms.numbers) for a, b in zip(frames, labels, strict=True)]
    assert max(map(abs, residuals)) > 0.01
    assert sum(residuals) == pytest.approx(0.0, abs=1e-9)


def test_least_squares_uses_the_train_split_only(molecules):
    frames, labels = molecules(["H2O", "H2", "O2"])
    labels[2] = labels[2]._replace(energy=1e6)
    assert reference_energies("least_squares", frames, labels, [0, 1], 5.0) == pytest.approx(E0)


def test_rank_deficient_fit_tells_what_to_do(molecules):
    frames, labels = molecules(["H2O", "H4O2", "H2O"])
    with pytest.raises(DataError, match=r"rank 1 for 2 elements \(H, O\).*data\.e0s=mean"):
        reference_energies("least_squares", frames, labels, range(3), 5.0)


def test_where_the_potential_has_its_own_e0s_a_rank_deficient_fit_gives_any_that_fit(molecules):
    frames, labels = molecules(["H2O", "H4O2", "H2O"])
    e0s = reference_energies("least_squares", frames, labels, range(3), 5.0, unique=False)
    assert 2 * e0s[1] + e0s[8] == pytest.approx(2 * E0[1] + E0[8])


def test_mean_gives_every_element_the_mean_energy_per_atom(molecules):
    frames, labels = molecules(["H2O", "H4O2"])
    e0s = reference_energies("mean", frames, labels, range(2), 5.0)
    assert e0s[1] == e0s[8] == pytest.approx((2 * E0[1] + E0[8]) / 3)


def test_isolated_atoms_are_recognised_and_used(molecules):
    frames, labels = molecules(["H2O", "H", "O"], shift=-9.0)
    assert isolated_atom_frames(frames, 5.0) == [1, 2]
    assert reference_energies("isolated_atoms", frames, labels, range(3), 5.0) == pytest.approx(E0)


def test_single_atom_in_a_small_periodic_cell_is_not_isolated():
    crystal = Frame(Atoms("Ag", cell=[[0, 2, 2], [2, 0, 2], [2, 2, 0]], pbc=True), "a", 0)
    assert isolated_atom_frames([crystal], 5.0) == []
    assert isolated_atom_frames([crystal], 2.5) == [0]


def test_missing_or_contradicting_isolated_atoms_are_refused(molecules):
    frames, labels = molecules(["H2O", "H"])
    with pytest.raises(DataError, match="isolated atom and its energy for O"):
        reference_energies("isolated_atoms", frames, labels, range(2), 5.0)
    frames, labels = molecules(["H2O", "H", "H", "O"])
    labels[2] = labels[2]._replace(energy=-10.0)
    with pytest.raises(DataError, match=r"frame 2: isolated H atoms differ by 3\.6 eV"):
        reference_energies("isolated_atoms", frames, labels, range(4), 5.0)


@pytest.mark.parametrize("given", [{"H": -1.0, "O": -2.0}, {1: -1.0, 8: -2.0}, {"1": -1, "8": -2, "Si": 3}])
def test_given_energies_by_symbol_or_number(molecules, given):
    frames, labels = molecules(["H2O"])
    assert reference_energies(given, frames, labels, [0], 5.0) == {1: -1.0, 8: -2.0}


def test_given_energies_must_cover_the_elements(molecules):
    frames, labels = molecules(["H2O"])
    with pytest.raises(DataError, match="no energy for O"):
        reference_energies({"H": -1.0}, frames, labels, [0], 5.0)
    with pytest.raises(ConfigError, match="'Xy"):
        reference_energies({"Xy": -1.0}, frames, labels, [0], 5.0)


def test_forces_alone_need_no_references(molecules):
    frames, labels = molecules(["H2O", "H2"])
    labels = [label._replace(energy=float("nan")) for label in labels]
    assert reference_energies("least_squares", frames, labels, range(2), 5.0) == {1: 0.0, 8: 0.0}


def test_least_squares_takes_isolated_atoms_where_there_are_any(molecules):
    frames, labels = molecules(["H2O", "H2", "O2", "O"], shift=0.7)
    e0s = reference_energies("least_squares", frames, labels, range(3), 5.0)
    assert e0s[8] == E0[8], "the atom's own energy, though it lies in no train frame"
    assert e0s[1] != pytest.approx(E0[1], abs=0.1), "fitted, since there is no isolated H"


def test_isolated_atoms_of_the_train_split_come_first(molecules):
    frames, labels = molecules(["H2O", "H", "O", "H"])
    labels[3] = labels[3]._replace(energy=-10.0)
    assert reference_energies("isolated_atoms", frames, labels, range(3), 5.0) == E0


@pytest.mark.parametrize("method", ["mean", {"H": -13.0, "O": -430.0}])
def test_e0s_that_an_isolated_atom_contradicts_are_refused(molecules, method):
    frames, labels = molecules(["H2O", "H"])
    with pytest.raises(DataError, match=r"mol\.extxyz, frame 1: this isolated H atom has -13\.6 eV, but data\.e0s"):
        reference_energies(method, frames, labels, range(2), 5.0)
