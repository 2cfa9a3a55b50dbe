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
