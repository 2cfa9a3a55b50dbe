"""A potential as a plain dictionary, and back from a file."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from scalarpath.core.errors import CheckpointError, ConfigError, TrustError
from scalarpath.core.imports import names_from_file
from scalarpath.potential.potential import Potential

FORMAT = 1


def to_checkpoint(potential: Potential) -> dict[str, Any]:
    """Plain dictionary that ``load_potential`` reads; safe for ``torch.load(weights_only=True)``."""
    state = {key: value.detach().clone() for key, value in potential.state_dict().items()}
    return {"format": FORMAT, "config": potential.config, "state_dict": state}


def read_checkpoint(path: Path, needs: Collection[str] = ()) -> dict[str, Any]:
    """Content of a checkpoint file, on the CPU, with the keys that it ``needs``; no code of the file is run.

    Raises CheckpointError when the file is missing, was damaged after it was written, or lacks a key.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give a checkpoint file or a finished run directory.")
    try:
        with zipfile.ZipFile(path) as archive:  # torch stores a checksum with every record and never looks at it
            damaged = archive.testzip()
        if damaged is None:
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint of scalarpath ({type(error).__name__}).") from error
    if damaged is not None:
        raise CheckpointError(f"{path} is damaged: {damaged} does not fit its checksum; copy the file again.")
    content = dict(content) if isinstance(content, Mapping) else {}
    for key in needs:
        if key not in content:
            raise CheckpointError(f"{path} is no checkpoint of scalarpath (it lacks {key}).")
    return content


def load_potential(path: str | Path, *, trust: Collection[str] = ()) -> Potential:
    """Potential from a checkpoint file, or from the best checkpoint of a run directory.

    trust: packages whose classes the checkpoint may name; others are found only where their module was imported before,
    since loading somebody's file must not run code. Raises CheckpointError when the file is missing, damaged or holds
    no potential, TrustError when it names a class that is not to be trusted.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "checkpoints" / "best.ckpt"
    content = read_checkpoint(file)
    content = content.get("potential", content)
    if not isinstance(content, Mapping) or not {"format", "config", "state_dict"} <= set(content):
        raise CheckpointError(f"{file} is no checkpoint of scalarpath (it holds no potential).")
    if content["format"] != FORMAT:
        raise CheckpointError(f"{file} has checkpoint format {content['format']}; this version reads {FORMAT}.")
    try:
        with names_from_file(file, trust):
            potential = Potential(content["config"])
        potential.load_state_dict(content["state_dict"])
    except TrustError:
        raise
    except (ConfigError, RuntimeError) as error:
        raise CheckpointError(f"{file} does not fit its own configuration: {str(error).splitlines()[0]}") from error
    return potential.eval()
