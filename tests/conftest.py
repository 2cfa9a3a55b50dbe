"""Environment of all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# before torch is loaded: idle OpenMP threads that spin slow a busy machine down
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch

torch.set_num_threads(1)
# a shell starts background jobs with Ctrl-C ignored, and children inherit that: tests of Ctrl-C would wait in vain
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def external_data() -> Path:
    """The folder with real external data sets; tests that need it skip where it is absent."""
    root = Path(os.environ.get("SCALARPATH_EXTERNAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip("external data sets are not here")
    return root
