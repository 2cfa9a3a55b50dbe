"""Systems of DeePMD and pairs of CP2K."""

import gzip

import numpy as np
import pytest

from scalarpath.core.errors import DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.sources import load_dataset


def labelled(path):
    """Frames, their labels and the notes."""
    config = DataConfig.read({"path": str(path)})
    loaded = load_dataset(config)
    keys = find_keys(loaded.frames, config)
    return loaded.frames, [extract_labels(frame, keys, config) for frame in loaded.frames], loaded.notes


@pytest.fixture
def system(tmp_path, make_silicon):
    """Five frames in two sets, as dpdata writes them."""
    folder = tmp_path / "data" / "silicon"
    frames = make_silicon(5)
    for name, part in (("set.000", frames[:3]), ("set.001", frames[3:])):
        (folder / name).mkdir(parents=True)
        arrays = {
            "coord": [a.positions.ravel() for a in part],
            "box": [a.cell.array.ravel() for a in part],
            "energy": [a.get_potential_energy() for a in part],
            "force": [a.get_forces().ravel() for a in part],
            "virial": [-a.get_volume() * a.get_stress(voigt=False).ravel() for a in part],
        }
        for key, values in arrays.items():
            np.save(folder / name / f"{key}.npy", np.array(values))
    (folder / "type.raw").write_text("1\n" * 8)
    (folder / "type_map.raw").write_text("O\nSi\n")
    return folder


def test_a_system_of_deepmd_has_all_labels(system, make_silicon):
    for path in (system, system.parent):  # a folder of systems too
        frames, labels, notes = labelled(path)
        assert [frame.where for frame in frames] == [f"{system}, frame {k}" for k in range(5)]
        for frame, label, atoms in zip(frames, labels, make_silicon(5), strict=True):
            assert frame.atoms == atoms
            assert label.energy == atoms.get_potential_energy()
            assert np.array_equal(label.forces, atoms.get_forces())
            assert np.allclose(label.stress, atoms.get_stress(voigt=False), rtol=0, atol=1e-15)
    assert notes == (f"{system.parent}: 1 file (silicon) read.",)


def test_a_mixed_system_of_deepmd_names_the_elements_of_every_frame(system):
    for name, count in (("set.000", 3), ("set.001", 2)):
        types = np.tile([0, 1, 1, 1, 1, 1, 1, -1], (count, 1))
        np.save(system / name / "real_atom_types.npy", types)
    frames, labels, _ = labelled(system)
    assert {str(frame.atoms.symbols) for frame in frames} == {"OSi6"}
    assert {label.forces.shape for label in labels} == {(7, 3)}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("type_map.raw", "O\nXq\n", r"type_map\.raw: 'Xq' is no element"),
        ("type_map.raw", None, r"type_map\.raw: is missing or cannot be read"),
        ("type_map.raw", "Si\n", r"type\.raw: has types that the 1 elements"),
        ("type.raw", "1\n" * 7, r"coord\.npy: has shape \(3, 24\), which does not fit \(-1, 7, 3\)"),
        ("set.000/force.npy", "", r"force\.npy: is missing or cannot be read"),
    ],
)
def test_a_damaged_system_of_deepmd_is_one_sentence(system, file, content, message):
    (system / file).unlink()
    if content is not None:
        (system / file).write_text(content)
    with pytest.raises(DataError, match=message):
        labelled(system)


@pytest.fixture
def pair(tmp_path):
    """Two steps of a water molecule in a box, as CP2K writes them."""
    symbols, rng = ["O", "H", "H"], np.random.default_rng(0)
    positions, forces = rng.normal(size=(2, 2, 3, 3))
    for kind, values in (("pos", positions), ("frc", forces)):
        text = ""
        for step, rows in zip((0, 10), values, strict=True):
            text += f"       3\n i = {step:8d}, time = {step / 2:12.3f}, E = {-17.25 - step:20.10f}\n"
            text += "".join(
                f"{s:>3} {x:19.10f} {y:19.10f} {z:19.10f}\n" for s, (x, y, z) in zip(symbols, rows, strict=True)
            )
        (tmp_path / f"run-{kind}-1.xyz").write_text(text)
    (tmp_path / "run-1.restart").write_text(
        "&FORCE_EVAL\n &SUBSYS\n  &CELL\n   A   9.0  0.0  0.0\n   B   0.0  9.5  0.0\n   C   0.0  0.0  1.0E+01\n"
        "   PERIODIC  XY\n   MULTIPLE_UNIT_CELL  1  1  1\n  &END CELL\n &END SUBSYS\n&END FORCE_EVAL\n"
    )
    return tmp_path, positions, forces


def test_a_pair_of_cp2k_is_read_in_its_units(pair):
    folder, positions, forces = pair
    for path in (folder / "run-pos-1.xyz", folder):
        frames, labels, notes = labelled(path)
        assert [frame.where for frame in frames] == [f"{folder}/run-pos-1.xyz, frame {k}" for k in (0, 1)]
        assert f"{folder}/run-pos-1.xyz: written by CP2K; energies (Ha, from its comment lines) and forces" in notes[-1]
        for k, (frame, label) in enumerate(zip(frames, labels, strict=True)):
            assert label.energy == pytest.approx((-17.25 - 10 * k) * 27.211386, rel=1e-7)
            assert np.allclose(label.forces, forces[k] * 51.422067, rtol=1e-6, atol=1e-8)
            assert np.allclose(frame.atoms.positions, positions[k], atol=1e-9)
            assert np.array_equal(frame.atoms.cell.array, np.diag([9.0, 9.5, 10.0]))
            assert frame.atoms.pbc.tolist() == [True, True, False]
    (folder / "run-1.cell").write_text(
        "# Step Time Ax Ay Az Bx By Bz Cx Cy Cz Volume\n" + "".join(
            f"{step} 0.0 {9 + step} 0 0 0 9 0 0 0 9 {81 * (9 + step)}\n" for step in (0, 10)
        )
    )  # fmt: skip
    frames, _, _ = labelled(folder / "run-pos-1.xyz")
    assert [frame.atoms.cell.array[0, 0] for frame in frames] == [9, 19]
    assert frames[0].atoms.pbc.all()


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("run-frc-1.xyz", None, r"run-pos-1\.xyz: CP2K's file with its forces, run-frc-1\.xyz, is not beside it"),
        ("run-1.restart", None, r"run-pos-1\.xyz: neither run-1\.cell nor run-1\.restart is beside it"),
        ("run-1.restart", lambda text: text[:40], r"run-1\.restart: the cell cannot be read"),
        ("run-frc-1.xyz", lambda text: text[: len(text) // 2], r"frame 1: .*run-frc-1\.xyz has no forces of step 10"),
        ("run-frc-1.xyz", lambda text: text.replace(" 10,", " 20,"), r"frame 1: .*step 10 stands against step 20"),
    ],
)
def test_a_damaged_pair_of_cp2k_is_one_sentence(pair, file, edit, message):
    path = pair[0] / file
    text = path.read_text()
    path.unlink()
    if edit is not None:
        path.write_text(edit(text))
    with pytest.raises(DataError, match=message):
        labelled(pair[0] / "run-pos-1.xyz")


def test_a_packed_file_of_a_pair_is_one_sentence(pair):
    packed = pair[0] / "run-pos-1.xyz.gz"
    packed.write_bytes(gzip.compress((pair[0] / "run-pos-1.xyz").read_bytes()))
    with pytest.raises(DataError, match=r"run-pos-1\.xyz\.gz: CP2K's files are read together, and only unpacked"):
        labelled(packed)
