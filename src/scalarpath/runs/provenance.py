"""Where a run came from: versions, git revision, machine, hashes."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scalarpath.runs.identity import config_hash

PACKAGES = (
    "scalarpath", "torch", "pytorch-lightning", "torch-geometric", "torchmetrics", "e3nn", "hydra-core", "omegaconf",
    "ase", "vesin", "numpy", "scipy", "phonopy", "wandb",
)  # fmt: skip


def provenance(config: Mapping[str, Any], data_hash: str) -> dict[str, Any]:
    """Everything needed to say what was run on what; plain values for JSON."""
    import torch  # here: what only asks for versions needs no torch

    from scalarpath.nn.cpu import library

    return {
        "versions": versions(),
        "git": git_revision(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "cpu_kernels": library.library() is not None,
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "data_hash": data_hash,
        "config_hash": config_hash(config),
    }


def versions() -> dict[str, str | None]:
    """Of Python and the packages that decide numbers; None for one that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def git_revision() -> dict[str, Any] | None:
    """Commit of the checkout that holds this package and whether it has local changes; None outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    folder = Path(__file__).resolve().parent
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
