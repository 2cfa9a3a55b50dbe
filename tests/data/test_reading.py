import lzma
from pathlib import Path

import ase.io
import numpy as np
import pytest

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data import lazy
from scalarpath.data.lazy import PackedItems
from scalarpath.data.reading import read_frames


def test_frames_carry_file_and_number(write, make_silicon):
    path = write(make_silicon(3))
    frames = list(read_frames(path))
    assert [frame.where for frame in frames] == [f"{path}, frame {k}" for k in range(3)]
    assert np.allclose(frames[1].atoms.get_positions(), ase.io.read(path, 1).get_positions())


@pytest.mark.parametrize(
    ("index", "numbers"), [(":", [0, 1, 2, 3, 4]), ("1:3", [1, 2]), ("::2", [0, 2, 4]), ("3", [3]), (0, [0])]
)
def test_index_selects_frames_and_keeps_their_numbers(write, make_silicon, index, numbers):
    path = write(make_silicon(5))
    frames = list(read_frames(path, index))
    assert [frame.number for frame in frames] == numbers
    every = ase.io.read(path, ":")
    for frame in frames:
        assert np.allclose(frame.atoms.positions, every[frame.number].positions)


def test_slice_appended_to_the_path_wins_over_index(write, make_silicon):
    assert [f.number for f in read_frames(write(make_silicon(5)) + "@1:4", "::2")] == [1, 2, 3]


def test_file_name_with_at_sign_is_a_file(write, make_silicon):
    assert len(list(read_frames(write(make_silicon(2), "a@b.extxyz")))) == 2


def test_compressed_file_reads_like_the_plain_one(write, make_silicon, tmp_path):
    plain = write(make_silicon(4))
    packed = tmp_path / "frames.extxyz.xz"
    packed.write_bytes(lzma.compress(Path(plain).read_bytes()))
    for a, b in zip(read_frames(plain), read_frames(packed), strict=True):
        assert a.atoms == b.atoms
        assert b.where == f"{packed}, frame {b.number}"


@pytest.mark.parametrize("broken", [0, 2, 4])
def test_truncated_frame_is_named(write, make_silicon, broken):
    lines = Path(write(make_silicon(5))).read_text().splitlines(keepends=True)
    del lines[10 * broken + 9]  # the last atom of the frame
    with pytest.raises(DataError, match=rf"cut\.extxyz, frame {broken}: cut short or malformed"):
        list(read_frames(write("".join(lines), "cut.extxyz")))


@pytest.mark.parametrize("index", ["abc", "1:2:0", "1:x"])
def test_index_that_is_no_slice_is_a_config_error(write, make_silicon, index):
    with pytest.raises(ConfigError, match="is not a slice"):
        list(read_frames(write(make_silicon(2)), index))


def test_slice_without_frames_is_refused(write, make_silicon):
    with pytest.raises(DataError, match="selects no frame"):
        list(read_frames(write(make_silicon(2)), "5:"))


def test_a_text_that_ase_takes_for_an_empty_file_of_structures_is_refused(tmp_path):
    notes = tmp_path / "SOURCE.md"
    notes.write_text("# Where the frames come from\n")
    with pytest.raises(DataError, match=r"SOURCE\.md holds no frame that ASE can read"):
        list(read_frames(notes))


@pytest.mark.parametrize("limit", [100, 2**26])
def test_stored_frames_are_those_that_were_read_in_any_order(write, make_silicon, monkeypatch, limit):
    monkeypatch.setattr(lazy, "KEPT_IN_MEMORY", limit)  # a tiny one moves them to a file
    frames = list(read_frames(write(make_silicon(5))))
    store = PackedItems()
    assert store.extend(frames[:2]) == [0, 1]
    assert store[0].where == frames[0].where  # reading does not disturb what is appended next
    assert store.extend(iter(frames[2:])) == [2, 3, 4]
    for index in (3, 0, 4, 4, -1, 1):
        assert store[index].where == frames[index].where
        assert store[index].atoms == frames[index].atoms
        assert store[index].atoms.info == frames[index].atoms.info
        for name, value in frames[index].atoms.calc.results.items():
            assert np.array_equal(store[index].atoms.calc.results[name], value)
    assert [frame.number for frame in store] == [0, 1, 2, 3, 4]
    assert [frame.number for frame in store[1:3]] == [1, 2]
    with pytest.raises(IndexError):
        store[5]


def test_frames_are_read_one_by_one(write, make_silicon):
    """A frame is there before the next one is looked at, so a broken one later in the file shows later."""
    lines = Path(write(make_silicon(5))).read_text().splitlines(keepends=True)
    lines[35] = lines[35].replace("Si", "Xx")
    frames = read_frames(write("".join(lines), "late.extxyz"))
    assert [next(frames).number for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match=r"late\.extxyz, frame 3"):
        next(frames)


@pytest.mark.parametrize(
    ("index", "numbers"), [("::-2", [4, 2, 0]), ("-2:", [3, 4]), ("-1", [4]), (-1, [4]), ("3:0:-1", [3, 2, 1])]
)
@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
def test_frames_counted_from_the_end_keep_their_numbers(write, make_silicon, tmp_path, index, numbers, suffix):
    path = tmp_path / f"frames.{suffix}"
    ase.io.write(path, ase.io.read(write(make_silicon(5)), ":"))
    frames = list(read_frames(path, index))
    every = ase.io.read(path, ":")
    assert [frame.number for frame in frames] == numbers
    for frame in frames:
        assert np.allclose(frame.atoms.positions, every[frame.number].positions)


def test_frames_after_blank_lines_are_read(write, make_silicon):
    lines = Path(write(make_silicon(5))).read_text().splitlines(keepends=True)
    text = "".join([*lines[:20], "\n", "   \n", *lines[20:], "\n"])
    assert [frame.number for frame in read_frames(write(text, "joined.extxyz"))] == [0, 1, 2, 3, 4]


def test_a_header_that_promises_more_atoms_than_there_are_is_named(write, make_silicon):
    lines = Path(write(make_silicon(3))).read_text().splitlines(keepends=True)
    lines[20] = "99999999999\n"
    with pytest.raises(DataError, match=r"frame 2: cut short or malformed \(line 21 announces 99999999999 atoms"):
        list(read_frames(write("".join(lines), "huge.extxyz")))


def test_all_nine_numbers_of_a_stress_are_kept(write, make_silicon):
    atoms = ase.io.read(write(make_silicon(1)), 0)
    atoms.calc = None
    atoms.info = {"REF_energy": 1.0}
    ase.io.write(Path(path := write("", "nine.extxyz")), atoms)
    text = Path(path).read_text().replace("REF_energy", 'stress="1 2 3 4 5 6 7 8 9" REF_energy')
    (frame,) = read_frames(write(text, "nine.extxyz"))
    assert sorted(frame.atoms.calc.results["stress"].ravel()) == list(range(1, 10))


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("X", "ghost atom X is no element"),
        ("D", "'D' is an isotope, .* write H"),
        ("Qq", "'Qq' is no element; repair or remove this frame"),
    ],
)
def test_atoms_that_are_no_element_are_named(write, make_silicon, symbol, message):
    lines = Path(write(make_silicon(3))).read_text().splitlines(keepends=True)
    lines[12] = lines[12].replace("Si", symbol, 1)
    with pytest.raises(DataError, match=rf"ghost\.extxyz, frame 1: .*{message}"):
        list(read_frames(write("".join(lines), "ghost.extxyz")))


@pytest.mark.parametrize("number", [-106, 0, 119, 200])
def test_numbers_that_are_no_element_are_named(tmp_path, number):
    path = tmp_path / "numbers.extxyz"
    path.write_text(f"1\nProperties=Z:I:1:pos:R:3 energy=1.0\n{number} 0.0 0.0 0.0\n")
    with pytest.raises(DataError, match=r"numbers\.extxyz, frame 0: .*no element"):
        list(read_frames(path))


CIF = """data_alloy
_cell_length_a 3.6
_cell_length_b 3.6
_cell_length_c 3.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 Cu 0 0 0 1.0
Au1 Au 0.5 0.5 0 {}
"""


@pytest.mark.parametrize("share", ["0.5", "0.5\nCu2 Cu 0.5 0.5 0 0.5"])
def test_partly_occupied_sites_are_not_taken_as_whole_atoms(write, tmp_path, share):
    assert len(next(read_frames(write(CIF.format("1.0"), "whole.cif"))).atoms) == 2
    path = write(CIF.format(share), "part.cif")
    with pytest.raises(DataError, match=r"part\.cif, frame 0: sites are partly occupied"):
        list(read_frames(path))
    ase.io.write(tmp_path / "copied.extxyz", ase.io.read(path))
    with pytest.raises(DataError, match=r"copied\.extxyz, frame 0: sites are partly occupied"):
        list(read_frames(tmp_path / "copied.extxyz"))


def test_other_things_called_occupancy_are_left_alone(write, make_silicon):
    frames = make_silicon(2)
    frames[0].info["occupancy"] = 0.5
    frames[1].info["occupancy"] = {"d": 0.5}
    assert len(list(read_frames(write(frames)))) == 2
