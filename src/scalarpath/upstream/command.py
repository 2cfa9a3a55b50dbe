"""What ``import.py`` does."""

from __future__ import annotations

from pathlib import Path

import torch

from scalarpath.core.errors import ConfigError, ScalarPathError, UpstreamError
from scalarpath.core.files import put_in_place
from scalarpath.core.imports import imported
from scalarpath.potential import Potential, to_checkpoint
from scalarpath.upstream.importers import from_upstream
from scalarpath.upstream.settings import READERS, ImportSettings


def run(settings: ImportSettings) -> None:
    """Read the file that ``settings`` name, write its potential, and say what it is.

    Raises UpstreamError for a file that cannot be imported faithfully.
    """
    output = Path(str(settings.output))
    potential = read_upstream(str(settings.kind), Path(str(settings.file)), settings.dtype, **settings.options)
    _write(potential, output)
    parameters = sum(parameter.numel() for parameter in potential.parameters())
    print(
        f"{output}: {potential.config['backbone']['kind']} with {len(potential.species)} elements, {parameters:,} "
        f"parameters, cutoff {potential.cutoff:g} Å, {settings.dtype}"
    )


def read_upstream(kind: str, file: Path, dtype: str = "float32", **options: str | None) -> Potential:
    """The potential in ``file``, which the package of ``kind`` (a key of READERS) has saved, its network in ``dtype``.

    ``options``: what that reader takes besides (mace: python, head).
    Raises UpstreamError where the file is missing, damaged, something else, or has no native equivalent.
    """
    state, hyperparameters = imported(READERS[kind], "kind")(file, **options)
    try:
        # E0s and energy scale keep their digits in float32 too, as those of a training do
        return from_upstream(kind, state, hyperparameters).copy_to(dtype=dtype)
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
