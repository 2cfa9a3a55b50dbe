"""What ``import.py`` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from omegaconf import DictConfig
from torch import Tensor

from scalarpath.core.errors import ConfigError, ScalarPathError, UpstreamError
from scalarpath.core.files import put_in_place
from scalarpath.core.settings import WHOLE, Among, Text, read_settings
from scalarpath.potential import Potential, to_checkpoint
from scalarpath.potential.configuration import DTYPES
from scalarpath.runs.job import plain_config
from scalarpath.upstream.importers import from_upstream
from scalarpath.upstream.mace_file import read_mace
from scalarpath.upstream.sevennet_file import read_sevennet

READERS: dict[str, Callable[..., tuple[dict[str, Tensor], dict[str, Any]]]] = {
    "sevennet": read_sevennet,
    "mace": read_mace,
}
"""By kind: what reads the file of another package, without running here anything that is in it."""


@dataclass(frozen=True)
class ImportSettings:
    """conf/import.yaml."""

    kind: Annotated[str, Among(READERS)] | None
    file: Text | None
    output: Text | None
    dtype: Literal["float32", "float64"]
    python: Text | None
    head_name: Text | None

    def __post_init__(self) -> None:
        for name, meaning in (
            ("kind", " | ".join(READERS)),
            ("file", "<what its package has saved>"),
            ("output", "<the checkpoint to write>"),
        ):
            if getattr(self, name) is None:
                raise ConfigError(f"give {name}={meaning}.")
        if self.kind == "mace" and self.python is None:
            raise ConfigError(
                "kind=mace: only mace-torch can open its files; make an environment for it (python -m venv PEER && "
                "PEER/bin/pip install mace-torch) and set python=PEER/bin/python."
            )
        for name in ("python", "head_name"):
            if self.kind != "mace" and getattr(self, name) is not None:
                raise ConfigError(f"{name} is for kind=mace; leave it out with kind={self.kind}.")

    @property
    def options(self) -> dict[str, str | None]:
        """What the reader of this kind takes besides file and dtype."""
        return {"python": self.python, "head": self.head_name} if self.kind == "mace" else {}


def run(cfg: DictConfig) -> None:
    """Read the file of ``cfg`` (conf/import.yaml), write its potential, and say what it is.

    Raises ConfigError for impossible settings, UpstreamError for a file that cannot be imported faithfully.
    """
    settings = read_settings(ImportSettings, plain_config(cfg), WHOLE)
    output = Path(str(settings.output))
    if output.exists():
        raise ConfigError(f"output = {output} is there already; choose another name, or remove it.")
    potential = read_upstream(str(settings.kind), Path(str(settings.file)), settings.dtype, **settings.options)
    _write(potential, output)
    parameters = sum(parameter.numel() for parameter in potential.parameters())
    print(
        f"{output}: {potential.config['backbone']['kind']} with {len(potential.species)} elements, {parameters:,} "
        f"parameters, cutoff {potential.cutoff:g} Å, {settings.dtype}"
    )


def read_upstream(kind: str, file: Path, dtype: str = "float32", **options: str | None) -> Potential:
    """The potential in ``file``, which the package of ``kind`` (a key of READERS) has saved, in ``dtype``.

    ``options``: what that reader takes besides (mace: python, head).
    Raises UpstreamError where the file is missing, damaged, something else, or has no native equivalent.
    """
    state, hyperparameters = READERS[kind](file, DTYPES[dtype], **options)
    try:
        return from_upstream(kind, state, hyperparameters)
    except ScalarPathError as error:
        raise UpstreamError(f"{file}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UpstreamError(f"{file}: its configuration cannot be read ({type(error).__name__}: {error}).") from error


def _write(potential: Potential, output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with put_in_place(output) as partial:
            torch.save(to_checkpoint(potential), partial)
    except (OSError, RuntimeError) as error:  # torch raises the latter for a folder that is none
        raise ConfigError(f"output = {output} cannot be written ({error}); choose another place.") from error
