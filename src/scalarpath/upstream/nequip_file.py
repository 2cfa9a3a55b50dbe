"""Reading a checkpoint of nequip-train or a package of nequip-package, of a NequIP or an Allegro."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from scalarpath.core.errors import UpstreamError
from scalarpath.upstream.peer_file import Opener

WHAT = "a .ckpt that nequip-train has written, or a .nequip.zip of nequip-package"
COMPILED = (".pt2", ".pth")
OPENERS = {
    kind: Opener(package, module, "nequip_worker.py", WHAT)
    for kind, package, module in (("nequip", "nequip", "nequip"), ("allegro", "nequip-allegro", "allegro"))
}
BUILDERS = {"nequip.model.NequIPGNNModel": "nequip", "allegro.model.AllegroModel": "allegro"}
"""What makes the model, as the checkpoint names it, and the kind that it is here."""


def read_nequip(path: Path, python: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in float64, those of the average where there is one, and arguments of NequIPGNNModel: what
    ``from_upstream`` takes. ``python``: the executable of an environment with nequip, which opens the file, so runs
    code that stands in it. Raises ConfigError, UpstreamError as ``Opener``, and for a model of another kind."""
    return _read("nequip", path, python)


def read_allegro(path: Path, python: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As ``read_nequip``, of an AllegroModel."""
    return _read("allegro", path, python)


def _read(kind: str, path: Path, python: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if path.suffix in COMPILED:
        raise UpstreamError(f"{path} is compiled, and its weights have no names; give {WHAT}.")
    content, state = OPENERS[kind].opened(path, python)
    builder, models = content["builder"], content["models"]
    if BUILDERS.get(builder) != kind:
        other = BUILDERS.get(builder)
        fix = f"use kind={other}" if other else f"only {' and '.join(BUILDERS)} can be imported"
        raise UpstreamError(f"{path} holds a model of {builder}; {fix}.")
    if len(models) != 1:
        raise UpstreamError(f"{path} holds {len(models)} models ({', '.join(models)}); only one can be imported.")
    return state, content["hyperparameters"]
