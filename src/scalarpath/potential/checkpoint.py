"""A potential as a plain dictionary, and back from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scalarpath.core.errors import CheckpointError
from scalarpath.potential.potential import Potential

FORMAT = 1


def to_checkpoint(potential: Potential) -> dict[str, Any]:
    """Plain dictionary that ``load_potential`` reads; safe for ``torch.load(weights_only=True)``."""
    state = {key: value.detach().clone() for key, value in potential.state_dict().items()}
    return {"format": FORMAT, "config": potential.config, "state_dict": state}


def load_potential(path: str | Path) -> Potential:
    """Potential from a checkpoint file, or from the best checkpoint of a run directory.

    Raises CheckpointError when the file is missing or holds no potential.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "checkpoints" / "best.ckpt"
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; give a checkpoint file or a finished run directory.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        content = content.get("potential", content)
        config, state = content["config"], content["state_dict"]
    except Exception as error:
        raise CheckpointError(f"{file} is not a checkpoint of scalarpath ({type(error).__name__}).") from error
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{file} has checkpoint format {content.get('format')}; this version reads {FORMAT}.")
    potential = Potential(config)
    try:
        potential.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{file} does not fit its own configuration: {str(error).splitlines()[0]}") from error
    return potential.eval()
