"""Reading a ``.model`` of mace-torch: it is a pickle, so a process of an environment with mace-torch opens it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalarpath.core.errors import UpstreamError
from scalarpath.core.settings import nearest
from scalarpath.upstream.peer_file import Opener

OPENER = Opener("mace-torch", "mace", "mace_worker.py", "a .model that mace_run_train has written")
CLASSES = ("MACE", "ScaleShiftMACE")
PARTS = {
    *CLASSES,
    "AgnesiTransform",
    "AtomicEnergiesBlock",
    "BesselBasis",
    "Contraction",
    "EquivariantProductBasisBlock",
    "GatedEquivariantBlock",
    "GaussianBasis",
    "LinearNodeEmbeddingBlock",
    "LinearReadoutBlock",
    "NonLinearReadoutBlock",
    "PolynomialCutoff",
    "RadialEmbeddingBlock",
    "RadialMLP",
    "RealAgnosticDensityInteractionBlock",
    "RealAgnosticDensityResidualInteractionBlock",
    "RealAgnosticInteractionBlock",
    "RealAgnosticResidualInteractionBlock",
    "RealAgnosticResidualNonLinearInteractionBlock",
    "ScaleShiftBlock",
    "SoftTransform",
    "SymmetricContraction",
    "ZBLBasis",
    "reshape_irreps",
}
"""Classes of mace's modules whose weights and options the importer knows; a model with another one is refused."""


def read_mace(
    path: Path, dtype: torch.dtype, python: str, head: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in ``dtype`` and hyperparameters of a ``.model``, with one head: what ``from_upstream`` takes.

    ``python``: the executable of an environment with mace-torch, which unpickles the file, so runs code that stands
    in it; ``head``: which of several. Raises ConfigError for a python that is none, UpstreamError where the file is
    missing or unreadable there, has parts without native equivalent, or another choice of heads.
    """
    content, state = OPENER.opened(path, python, dtype)
    check_parts(content, path)
    try:
        return select_head(state, content["hyperparameters"], head)
    except UpstreamError as error:
        raise UpstreamError(f"{path}: {error}") from None


def check_parts(content: Mapping[str, Any], path: Path) -> None:
    """Raise UpstreamError for a model of another class, or with a part that the importer does not know."""
    if content["class"] not in CLASSES:
        raise UpstreamError(f"{path} holds a {content['class']}; only {' and '.join(CLASSES)} can be imported.")
    unknown = sorted(set(content["parts"]) - PARTS)
    if unknown:
        raise UpstreamError(f"{path} has parts without a native equivalent: {', '.join(unknown)}.")


def select_head(
    state: Mapping[str, Tensor], hyperparameters: Mapping[str, Any], head: str | None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The model with the readouts, E0s, scale and shift of one head.

    ``state``: state dict, whose E0s are [heads, S], scale and shift [heads] or one number, last weights of a readout
    [in, heads]. Raises UpstreamError, naming the heads, where ``head`` is not one of them, or is None and there are
    several.
    """
    heads = list(hyperparameters["heads"])
    if head is None and len(heads) > 1:
        raise UpstreamError(f"the model has {len(heads)} heads; choose one with head_name=: {', '.join(heads)}.")
    if head is not None and head not in heads:
        raise UpstreamError(f"the model has no head '{head}'{nearest(head, heads)}; it has: {', '.join(heads)}.")
    number, chosen = len(heads), 0 if head is None else heads.index(head)
    selected = dict(state)
    if number > 1:
        for name, value in state.items():
            if name == "atomic_energies_fn.atomic_energies" or (
                name.startswith("scale_shift.") and value.numel() == number
            ):
                selected[name] = value[chosen]
            elif name.startswith("readouts.") and name.endswith(".linear.weight"):
                selected[name] = value.view(-1, number)[:, chosen]
            elif name.startswith("readouts.") and name.endswith(".linear_1.weight"):
                width = state[name.replace("linear_1", "linear_2")].numel() // number**2  # of one head's hidden layer
                selected[name] = value.view(-1, number, width)[:, chosen].flatten()
            elif name.startswith("readouts.") and name.endswith(".linear_2.weight"):
                # e3nn divides by the root of the inputs' number, which are those of all heads
                selected[name] = value.view(number, -1, number)[chosen, :, chosen] / math.sqrt(number)
    return selected, {**hyperparameters, "heads": [heads[chosen]]}
