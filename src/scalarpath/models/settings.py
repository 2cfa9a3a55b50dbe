"""What an export is told; ``conf/export.yaml`` explains every key. No torch is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import WHOLE, Text, read_settings
from scalarpath.runs.job import plain_config


@dataclass(frozen=True)
class ExportSettings:
    """conf/export.yaml."""

    run: Text
    file: Text
    licence: Text | None
    trust: list[Text]

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> ExportSettings:
        """Read a composed conf/export.yaml; raises ConfigError."""
        needs = {"run": "the directory of a finished run", "file": "the file to write, such as model.sp"}
        return read_settings(cls, _with(plain_config(cfg, without=()), needs), WHOLE)


def _with(config: dict[str, Any], needs: dict[str, str]) -> dict[str, Any]:
    """The settings, with none of those missing without which there is nothing to do."""
    for key, what in needs.items():
        if config.get(key) is None:
            raise ConfigError(f"give {key}=<{what}>.")
    return config
