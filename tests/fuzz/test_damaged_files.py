"""Damaged data files: one sentence, or frames with the labels that stand in the file."""

from __future__ import annotations

import random
from pathlib import Path

import ase.io
import commands
import pytest
from damage import as_written, blocks_of, damaged_bytes, damaged_frames, same
from isolation import outcome

from scalarpath.core.resources import BUNDLED_DIR

N_FRAMES = 12


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    found = blocks_of((BUNDLED_DIR / "si" / "frames.extxyz").read_text())
    return [block for block in found if int(block.split()[0]) <= 8][:N_FRAMES]


@pytest.fixture(scope="module")
def sound(blocks: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, list[float]]]:
    folder = tmp_path_factory.mktemp("sound")
    (folder / "frames.extxyz").write_text("".join(blocks))
    found = outcome(commands.read, str(folder / "frames.extxyz"), output=folder / "out", seconds=120).value
    for k, block in enumerate(blocks):
        assert all(same(found[k][name], values) for name, values in as_written(block).items())
    return found


def try_frames(seed: int, blocks: list[str], sound: dict, folder: Path) -> list[str]:
    """What is wrong with the reading of one damaged extended XYZ file."""
    name, damaged = damaged_frames(blocks, random.Random(seed))
    path = folder / f"{seed}.extxyz"
    path.write_bytes(damaged.content)
    found = outcome(commands.read, str(path), output=folder / "out")
    if found.kind != "done":
        return [] if found.kind == "refused" else [f"{path.name} ({name}): {found.text}"]
    read, wrong = found.value, []
    kept = {k: k for k in range(damaged.first)}
    kept |= {len(blocks) - k: len(read) - k for k in range(1, damaged.last + 1)}
    for before, after in kept.items():
        if after not in read or not all(same(read[after][key], sound[before][key]) for key in sound[before]):
            wrong.append(f"{path.name} ({name}): frame {before} was not touched and is another one now")
    if damaged.block and len(read) == len(blocks):
        written = as_written(damaged.block.decode(errors="replace"))
        changed = [key for key, values in written.items() if not same(read[damaged.first][key], values)]
        wrong += [f"{path.name} ({name}): {key} of frame {damaged.first} is not what is written" for key in changed]
    return wrong


def try_bytes(seed: int, suffix: str, content: bytes, folder: Path) -> list[str]:
    """What is wrong with the reading of one damaged file of another format."""
    name, content = damaged_bytes(content, random.Random(seed))
    path = folder / f"{seed}{suffix}"
    path.write_bytes(content)
    found = outcome(commands.read, str(path), output=folder / "out")
    return [f"{path.name} ({name}): {found.text}"] if found.kind == "fault" else []


@pytest.mark.parametrize(
    "seeds", [range(20), pytest.param(range(20, 240), marks=pytest.mark.slow)], ids=["sample", "all"]
)
def test_no_damaged_frame_gives_a_silent_label(seeds: range, blocks: list[str], sound: dict, tmp_path: Path) -> None:
    assert not [text for seed in seeds for text in try_frames(seed, blocks, sound, tmp_path)]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".traj", ".db", ".json", ".xyz", ".npz", ".cif"])
def test_no_damaged_file_of_another_format_gives_a_traceback(suffix: str, blocks: list[str], tmp_path: Path) -> None:
    (tmp_path / "frames.extxyz").write_text("".join(blocks))
    path = tmp_path / f"sound{suffix}"
    if suffix == ".npz":
        path.write_bytes(b"PK\x03\x04" + bytes(200))
    else:
        ase.io.write(path, ase.io.read(tmp_path / "frames.extxyz", ":"))
    assert not [text for seed in range(14) for text in try_bytes(seed, suffix, path.read_bytes(), tmp_path)]
