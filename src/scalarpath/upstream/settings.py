"""What an import is told; ``conf/import.yaml`` explains every key. No torch is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError
from scalarpath.core.interpreters import how_to_get
from scalarpath.core.settings import WHOLE, Among, Text, read_settings
from scalarpath.runs.job import plain_config

READERS = {
    "sevennet": "scalarpath.upstream.sevennet_file:read_sevennet",
    "mace": "scalarpath.upstream.mace_file:read_mace",
    "nequip": "scalarpath.upstream.nequip_file:read_nequip",
    "allegro": "scalarpath.upstream.nequip_file:read_allegro",
}
"""By kind: what reads the file of another package, without running here anything that is in it."""
OPENED_BY = {"mace": "mace-torch", "nequip": "nequip", "allegro": "nequip-allegro"}
"""The package that alone can open the files of a kind."""


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
        package = OPENED_BY.get(str(self.kind))
        if package is not None and self.python is None:
            raise ConfigError(f"kind={self.kind}: only {package} can open its files; {how_to_get(package)}")
        for name, kinds in (("python", list(OPENED_BY)), ("head_name", ["mace"])):
            if self.kind not in kinds and getattr(self, name) is not None:
                raise ConfigError(f"{name} is for kind={' and '.join(kinds)}; leave it out with kind={self.kind}.")

        if self.output is not None and Path(self.output).exists():
            raise ConfigError(f"output = {self.output} is there already; choose another name, or remove it.")

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> ImportSettings:
        """Read a composed conf/import.yaml; raises ConfigError."""
        return read_settings(cls, plain_config(cfg), WHOLE)

    @property
    def options(self) -> dict[str, str | None]:
        """What the reader of this kind takes besides file and dtype."""
        options = {"python": self.python} if self.kind in OPENED_BY else {}
        return options | {"head": self.head_name} if self.kind == "mace" else options
