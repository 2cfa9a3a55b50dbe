"""Settings that nobody means: one sentence before the work, or a run that ends; never a traceback, signal or hang."""

from __future__ import annotations

from pathlib import Path

import commands
import pytest
from isolation import outcome
from overrides import overrides


def try_override(seed: int, run: Path, folder: Path) -> list[str]:
    """What is wrong with one command that is given one nonsense value."""
    command, arguments, wrong = overrides(seed)
    (folder / str(seed)).mkdir()
    arguments = [text.replace("RUN", str(run)) for text in arguments]
    found = outcome(commands.run, command, arguments, folder / str(seed), output=folder / "out")
    return [f"{command} {wrong} (seed {seed}): {found.text}"] if found.kind == "fault" else []


@pytest.mark.parametrize(
    "seeds", [range(12), pytest.param(range(12, 360), marks=pytest.mark.slow)], ids=["sample", "all"]
)
def test_nonsense_is_one_sentence(seeds: range, finished_run: Path, tmp_path: Path) -> None:
    assert not [text for seed in seeds for text in try_override(seed, finished_run, tmp_path)]
