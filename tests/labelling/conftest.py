"""A silver whose hot trajectories are short: every other frame is that of the real recipe."""

from dataclasses import replace

import pytest

from scalarpath.labelling.frames import frame_list
from scalarpath.labelling.settings import CRYSTALS


@pytest.fixture(scope="session")
def quick_silver():
    silver = CRYSTALS["ag"]
    return replace(silver, hot=replace(silver.hot, stride=1))


@pytest.fixture(scope="session")
def silver_frames(quick_silver):
    return frame_list(quick_silver)
