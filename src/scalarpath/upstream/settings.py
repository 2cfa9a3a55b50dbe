"""What an import is told; ``conf/import.yaml`` explains every key. No torch is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import WHOLE, Among, Text, read_settings
from scalarpath.runs.job import plain_config

READERS = {
    "sevennet": "scalarpath.upstream.sevennet_file:read_sevennet",
    "mace": "scalarpath.upstream.mace_file:read_mace",
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

        if self.output is not None and Path(self.output).exists():
            raise ConfigError(f"output = {self.output} is there already; choose another name, or remove it.")

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> ImportSettings:
        """Read a composed conf/import.yaml; raises ConfigError."""
        return read_settings(cls, plain_config(cfg), WHOLE)

    @property
    def options(self) -> dict[str, str | None]:
        """What the reader of this kind takes besides file and dtype."""
        return {"python": self.python, "head": self.head_name} if self.kind == "mace" else {}
