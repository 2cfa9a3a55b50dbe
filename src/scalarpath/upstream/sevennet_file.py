"""Reading a checkpoint of sevenn without sevenn, and without running anything that stands in it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from scalarpath.core.errors import UpstreamError


class _Unread:
    """Stands for numpy's classes in the file: its weights are tensors, so nothing that is an array there is needed."""

    def __init__(self, *arguments: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


NAMED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Unread, name)
    for name in (
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.ndarray",
        "numpy.dtype",
    )
]
"""What a checkpoint of sevenn names besides what torch reads by itself."""


def read_sevennet(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in float64, and configuration, of a checkpoint of sevenn: what ``from_upstream`` takes.

    Raises UpstreamError where the file is missing, damaged or something else.
    """
    if not path.is_file():
        raise UpstreamError(f"{path} does not exist; give a checkpoint of sevenn, such as checkpoint_sevennet_0.pth.")
    try:
        with zipfile.ZipFile(path) as archive:  # torch never looks at the checksums
            damaged = archive.testzip()
        if damaged is None:
            with safe_globals(NAMED):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler meets anything in a foreign file
        raise UpstreamError(f"{path} is damaged or no checkpoint of sevenn ({type(error).__name__}).") from error
    if damaged is not None:
        raise UpstreamError(f"{path} is damaged: {damaged} does not fit its checksum; copy the file again.")
    content = content if isinstance(content, Mapping) else {}
    weights, config = content.get("model_state_dict"), content.get("config")
    if not isinstance(weights, Mapping) or not isinstance(config, Mapping):
        raise UpstreamError(f"{path} is no checkpoint of sevenn (it lacks model_state_dict or config).")
    tensors = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    return {name: value.double() for name, value in tensors.items()}, dict(config)
