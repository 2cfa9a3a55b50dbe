"""A potential as a plain dictionary, and back from a file: a checkpoint, or the one file that an export writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from scalarpath.core.errors import CheckpointError, ConfigError, TrustError
from scalarpath.core.files import put_in_place
from scalarpath.core.imports import names_from_file
from scalarpath.core.model_file import GIVE, file_of, no_checkpoint, require_whole
from scalarpath.potential.potential import Potential

FORMAT = 1  # of the potential
MODEL_FORMAT = 1  # of the file of an export, which holds facts beside the potential


def to_checkpoint(potential: Potential) -> dict[str, Any]:
    """Plain dictionary that ``load_potential`` reads; safe for ``torch.load(weights_only=True)``."""
    state = {key: value.detach().clone() for key, value in potential.state_dict().items()}
    return {"format": FORMAT, "config": potential.config, "state_dict": state}


def read_checkpoint(path: Path, needs: Collection[str] = ()) -> dict[str, Any]:
    """Content of a checkpoint file, on the CPU, with the keys that it ``needs``; no code of the file is run.

    Raises CheckpointError when the file is missing, was damaged after it was written, or lacks a key.
    """
    require_whole(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise no_checkpoint(path, error) from error
    content = dict(content) if isinstance(content, Mapping) else {}
    for key in needs:
        if key not in content:
            raise CheckpointError(f"{path} is no checkpoint of scalarpath (it lacks {key}); {GIVE}.")
    return content


def write_model(path: Path, potential: Potential, facts: Mapping[str, Any]) -> None:
    """Write a potential and what is to be known of it, plain values, as one file that ``load_potential`` reads."""
    content = {"model_format": MODEL_FORMAT, "facts": dict(facts), "potential": to_checkpoint(potential)}
    with put_in_place(path) as partial:
        torch.save(content, partial)


def model_facts(path: str | Path) -> dict[str, Any]:
    """What a file of an export says of its potential: elements, cutoff, units, errors, hashes, versions, licence.

    Raises CheckpointError when the file is missing, damaged or another one.
    """
    file = Path(path)
    content = read_checkpoint(file, ["model_format", "facts"])
    _check_format(file, "file", content["model_format"], MODEL_FORMAT)
    return dict(content["facts"])


def load_potential(path: str | Path, *, trust: Collection[str] = ()) -> Potential:
    """Potential from a checkpoint file, from the file of an export, or from the best checkpoint of a run directory.

    trust: packages whose classes the checkpoint may name; others are found only where their module was imported before,
    since loading somebody's file must not run code. Raises CheckpointError when the file is missing, damaged or holds
    no potential, TrustError when it names a class that is not to be trusted.
    """
    file = file_of(path)
    content = read_checkpoint(file)
    _check_format(file, "file", content.get("model_format", MODEL_FORMAT), MODEL_FORMAT)
    content = content.get("potential", content)
    if not isinstance(content, Mapping) or not {"format", "config", "state_dict"} <= set(content):
        raise CheckpointError(f"{file} is no checkpoint of scalarpath (it holds no potential); {GIVE}.")
    _check_format(file, "checkpoint", content["format"], FORMAT)
    try:
        with names_from_file(file, trust):
            potential = Potential(content["config"])
        potential.load_state_dict(content["state_dict"])
    except TrustError:
        raise
    # the last three come of states that are none: a number, or keys that are no names
    except (ConfigError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".:")
        raise CheckpointError(
            f"{file} does not fit its own configuration: {reason}; copy the file again, or use the version of "
            "scalarpath that wrote it."
        ) from error
    return potential.eval()


def _check_format(file: Path, what: str, found: Any, known: int) -> None:
    if found != known:
        raise CheckpointError(
            f"{file} has {what} format {found}; this version reads {known}: install the version of scalarpath that "
            "wrote it, or a later one."
        )
