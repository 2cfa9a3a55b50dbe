"""Which files ``data.path`` means, and that messages name the file and its own frame."""

from pathlib import Path

import pytest

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.data.paths import sources
from scalarpath.data.sources import load_dataset


@pytest.fixture
def three(write, make_silicon, tmp_path):
    """a1, a2 and a10.extxyz with 2, 3 and 4 frames, different ones, and a file that is none of a frame."""
    frames = make_silicon(9)
    for name, part in (("a1", frames[:2]), ("a2", frames[2:5]), ("a10", frames[5:])):
        write(part, f"{name}.extxyz")
    write("Made by hand.", "README")
    return tmp_path


def read(paths, **settings):
    loaded = load_dataset({"path": paths, **settings})
    return [(Path(frame.file).name, frame.number) for frame in loaded.frames], list(loaded.notes)


def test_a_list_is_read_in_its_order_and_frames_keep_their_numbers(three):
    numbers, notes = read([f"{three}/a2.extxyz", f"{three}/a1.extxyz@1:"], index="::2")
    assert numbers == [("a2.extxyz", 0), ("a2.extxyz", 2), ("a1.extxyz", 1)]
    assert notes == []


@pytest.mark.parametrize("name", ["a*.extxyz", ""])
def test_a_pattern_and_a_folder_are_read_in_the_order_of_numbers_and_said(three, name):
    path = three / name
    numbers, notes = read(str(path))
    assert [name for name, number in numbers if number == 0] == ["a1.extxyz", "a2.extxyz", "a10.extxyz"]
    rest = "." if name else "; not read: 1 file (README)."
    assert notes == [f"{path}: 3 files (a1.extxyz, a2.extxyz, a10.extxyz) read{rest}"]


def test_a_slice_may_follow_a_pattern_and_a_folder(three):
    expected = [("a1.extxyz", 0), ("a2.extxyz", 0), ("a2.extxyz", 2), ("a10.extxyz", 0), ("a10.extxyz", 2)]
    for path in (f"{three}/a*.extxyz@::2", f"{three}@::2"):
        assert read(path)[0] == expected


def test_a_file_with_the_letters_of_a_pattern_is_that_file(write, make_silicon, tmp_path):
    write(make_silicon(1), "set[1].extxyz")
    write(make_silicon(2), "set1.extxyz")
    assert read(str(tmp_path / "set[1].extxyz"))[0] == [("set[1].extxyz", 0)]
    assert len(read(str(tmp_path / "set[12].extxyz"))[0]) == 2


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("b*.extxyz", DataError, r"b\*\.extxyz: no file matches"),
        (["a1.extxyz", "b.extxyz"], DataError, r"b\.extxyz: no such file"),
        (["a1.extxyz", "a*.extxyz"], ConfigError, r"data\.path names .*a1\.extxyz twice"),
        ("", DataError, "OUTCAR and vasprun.xml may hold the same frames; .*data.path="),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(three, write, name, error, message):
    write("OUTCAR", "OUTCAR")
    write("<modeling/>", "vasprun.xml")
    names = [name] if isinstance(name, str) else name
    with pytest.raises(error, match=message):
        sources([str(three / name) for name in names], [], "data.path")


def test_the_parts_take_several_files_and_errors_name_the_frame_of_its_own_file(three, settings):
    config = settings([f"{three}/a1.extxyz", f"{three}/a10.extxyz"], test_path=f"{three}/a[2].extxyz", valid_size=1)
    data = AtomicDataModule(config, cutoff=4.0, seed=0)
    data.setup()
    assert data.splits["test"] == [6, 7, 8]
    assert f"{three}/a[2].extxyz: 1 file (a2.extxyz) read." in data.audit.warnings
    text = (three / "a10.extxyz").read_text()
    (three / "a10.extxyz").write_text(text.replace("energy=", "energy=nan old_energy=", 1))
    with pytest.raises(DataError, match=r"a10\.extxyz, frame 0: NaN label"):
        AtomicDataModule(config, cutoff=4.0, seed=0).setup()


def test_the_hash_does_not_depend_on_where_files_lie(three, settings, tmp_path):
    def data_hash(path, **changes):
        data = AtomicDataModule(settings(path, **changes), cutoff=4.0, seed=0)
        data.setup()
        return data.data_hash

    expected = data_hash(str(three), cache=False)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("a1", "a2", "a10"):
        (three / f"{name}.extxyz").rename(moved / f"{name}.extxyz")
    assert data_hash(f"{moved}/*.extxyz", cache=False) == expected
    joined = tmp_path / "one.extxyz"
    joined.write_text("".join((moved / f"{name}.extxyz").read_text() for name in ("a1", "a2", "a10")))
    assert data_hash(str(joined), cache=False) == expected


def test_files_of_one_name_are_listed_with_their_folders(make_silicon, write, tmp_path):
    for number in range(3):
        (tmp_path / f"run{number}").mkdir()
        write(make_silicon(2), f"run{number}/frames.extxyz")
    notes: list[str] = []
    sources(str(tmp_path / "run*" / "frames.extxyz"), notes, "path")
    assert "run0/frames.extxyz, " in notes[0]
    assert "run2/frames.extxyz) read" in notes[0]
