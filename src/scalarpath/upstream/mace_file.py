"""A ``.model`` of mace-torch is a pickle, so a process of an environment with mace-torch reads and writes it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from torch import Tensor

from scalarpath.core.errors import UpstreamError
from scalarpath.core.interpreters import last_line
from scalarpath.core.settings import nearest
from scalarpath.potential import Potential
from scalarpath.upstream.mace import export_mace
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


def read_mace(path: Path, python: str, head: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights in float64 and hyperparameters of a ``.model``, with one head: what ``from_upstream`` takes.

    ``python``: the executable of an environment with mace-torch, which unpickles the file, so runs code that stands
    in it; ``head``: which of several. Raises ConfigError for a python that is none, UpstreamError where the file is
    missing or unreadable there, has parts without native equivalent, or another choice of heads.
    """
    content, state = OPENER.opened(path, python)
    check_parts(content, path)
    try:
        return select_head(state, content["hyperparameters"], head)
    except UpstreamError as error:
        raise UpstreamError(f"{path}: {error}") from None


def write_mace(file: Path, potential: Potential, structures: Sequence[Atoms], python: str) -> list[dict[str, Tensor]]:
    """Have mace-torch make a ScaleShiftMACE of the potential, in float64, and write it as ``file``.

    Returns, for each of the structures, what mace's own calculator says after it has loaded the file: energy [], forces
    [N, 3] and stress [3, 3], NaN where there is no period; eV and Å. ``python`` as in ``read_mace``. Raises ConfigError
    for a potential that mace-torch cannot hold, before anything is started, and for a python that is none,
    UpstreamError where mace-torch is missing or cannot make the model.
    """
    hyperparameters, weights = export_mace(potential)
    job = {"hyperparameters": hyperparameters, "weights": weights, "structures": [_plain(each) for each in structures]}
    with tempfile.TemporaryDirectory() as folder:
        torch.save(job, Path(folder) / "job.pt")
        result = OPENER.run(python, "mace_writer.py", file, folder)
        if result.returncode != 0 or not (Path(folder) / "answers.pt").is_file():
            raise UpstreamError(
                f"the mace-torch of {python} cannot make this model ({last_line(result)}); install mace-torch 0.3.16 "
                "there, with which this was tested."
            )
        answers: list[dict[str, Tensor]] = torch.load(Path(folder) / "answers.pt", weights_only=True)
        return answers


def _plain(atoms: Atoms) -> dict[str, Any]:
    arrays = {"numbers": atoms.numbers, "positions": atoms.positions, "cell": atoms.cell.array}
    return {name: torch.tensor(values) for name, values in arrays.items()} | {"periodic": bool(atoms.pbc.all())}


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
