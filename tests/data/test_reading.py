import lzma
from pathlib import Path

import ase.io
import numpy as np
import pytest

from scalarpath.data.reading import read_frames
from scalarpath.errors import ConfigError, DataError


def test_frames_carry_file_and_number(write, make_silicon):
    path = write(make_silicon(3))
    frames = read_frames(path)
    assert [frame.where for frame in frames] == [f"{path}, frame {k}" for k in range(3)]
    assert np.allclose(frames[1].atoms.get_positions(), ase.io.read(path, 1).get_positions())


@pytest.mark.parametrize(
    ("index", "numbers"), [(":", [0, 1, 2, 3, 4]), ("1:3", [1, 2]), ("::2", [0, 2, 4]), ("3", [3]), (0, [0])]
)
def test_index_selects_frames_and_keeps_their_numbers(write, make_silicon, index, numbers):
    path = write(make_silicon(5))
    frames = read_frames(path, index)
    assert [frame.number for frame in frames] == numbers
    every = ase.io.read(path, ":")
    for frame in frames:
        assert np.allclose(frame.atoms.positions, every[frame.number].positions)


def test_slice_appended_to_the_path_wins_over_index(write, make_silicon):
    assert [f.number for f in read_frames(write(make_silicon(5)) + "@1:4", "::2")] == [1, 2, 3]


def test_file_name_with_at_sign_is_a_file(write, make_silicon):
    assert len(read_frames(write(make_silicon(2), "a@b.extxyz"))) == 2


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
        read_frames(write("".join(lines), "cut.extxyz"))


@pytest.mark.parametrize("index", ["abc", "1:2:0", "1:x"])
def test_index_that_is_no_slice_is_a_config_error(write, make_silicon, index):
    with pytest.raises(ConfigError, match="is not a slice"):
        read_frames(write(make_silicon(2)), index)


def test_slice_without_frames_is_refused(write, make_silicon):
    with pytest.raises(DataError, match="selects no frame"):
        read_frames(write(make_silicon(2)), "5:")
