"""The scripts as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def train_py(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run train.py, see ``script``."""
    return script("train.py", *arguments, cwd=cwd, **environment)


def script(name: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of this checkout in the folder ``cwd``, from which modules can be imported."""
    paths = os.pathsep.join([str(ROOT / "src"), str(cwd)])
    return subprocess.run(
        [sys.executable, str(ROOT / name), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
