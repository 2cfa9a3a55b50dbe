"""Sources of frames, those of other packages too."""

from __future__ import annotations

import ase.io
import pytest

from scalarpath.core.errors import ConfigError
from scalarpath.data.reading import Frame
from scalarpath.data.sources import SourceFrames, load_dataset


def thirds(config) -> SourceFrames:
    """A source of another package: the frames of a file, every third of which belongs to the test part."""
    frames = [Frame(atoms, config.path, k) for k, atoms in enumerate(ase.io.read(config.path, ":"))]
    return SourceFrames((f for f in frames if f.number % 3), test=(f for f in frames if f.number % 3 == 0))


def test_a_source_of_another_package_gives_the_frames(write, make_silicon):
    loaded = load_dataset({"source": "test_sources:thirds", "path": write(make_silicon(7))})
    assert [loaded.frames[i].number for i in loaded.pool] == [1, 2, 4, 5]
    assert [loaded.frames[i].number for i in loaded.test] == [0, 3, 6]
    assert loaded.valid is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("fiel", r"data\.source must be one of file, bundled, rmd17, md17 or text such as package.module:function"),
        ("nowhere:frames", "data.source = nowhere:frames cannot be imported"),
    ],
)
def test_a_source_that_is_not_there_is_refused(source, message):
    with pytest.raises(ConfigError, match=message):
        load_dataset({"source": source, "path": "x"})
