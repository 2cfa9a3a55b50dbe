"""What a report is told; ``conf/report.yaml`` explains every key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError
from scalarpath.core.metrics import TEST
from scalarpath.core.settings import WHOLE, Range, Seed, Text, read_settings
from scalarpath.runs.job import plain_config

PUBLISHED = "published"
"""``claims``: also judge what arXiv:2606.15892 claims of panpgs."""


@dataclass(frozen=True)
class BootstrapSettings:
    """The section ``bootstrap``: number of resamples and seed of their generator."""

    samples: Annotated[int, Range(at_least=1, at_most=10**6)]
    seed: Seed


@dataclass(frozen=True)
class DashboardSettings:
    """The section ``dashboard``: the W&B project whose dashboard ``wandb=true`` saves."""

    project: Text
    entity: Text | None


@dataclass(frozen=True)
class ReportSettings:
    """conf/report.yaml; ``runs`` is a list and ``where`` a mapping whatever was given."""

    runs: list[Text]
    where: dict[str, Any]
    part: Literal["train", "validation", "test"] | None
    claims: Literal["published"] | None
    bootstrap: BootstrapSettings
    wandb: bool
    dashboard: DashboardSettings
    output: Text

    def __post_init__(self) -> None:
        if not self.runs:
            raise ConfigError("give runs=<directory of runs>, or a list of such directories.")
        if self.claims is not None and self.part not in (None, TEST):
            raise ConfigError(f"claims are judged by test errors; leave part={self.part} out, or claims={self.claims}.")

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> ReportSettings:
        """Read a composed conf/report.yaml; raises ConfigError."""
        config = plain_config(cfg)
        runs = config.get("runs")
        if runs is None or isinstance(runs, str):
            runs = [runs] if runs else []
        where = {} if config.get("where") is None else config["where"]
        return read_settings(cls, {**config, "runs": runs, "where": where}, WHOLE)
