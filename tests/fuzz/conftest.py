"""The run that commands are tried on."""

from __future__ import annotations

from pathlib import Path

import commands
import pytest
from isolation import outcome
from overrides import MACE, TRAIN


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    settings = [*TRAIN, *MACE, "trainer.max_epochs=2"]
    made = outcome(commands.run, "train", settings, folder, output=folder / "out", seconds=200)
    assert made.kind == "done", made.text
    return folder / "run"
