"""A trained run, for what is done with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from composed_jobs import SMOKE, job, run


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The directory of a finished run on bundled silicon."""
    path = tmp_path_factory.mktemp("trained") / "run"
    run(job(*SMOKE, "head=panpgs", "trainer.max_epochs=1", f"output_dir={path}"))
    return path


@pytest.fixture(scope="session")
def trained_baseline(tmp_path_factory) -> Path:
    """The same without a head."""
    path = tmp_path_factory.mktemp("trained") / "run"
    run(job(*SMOKE, "head=baseline", "trainer.max_epochs=1", f"output_dir={path}"))
    return path
