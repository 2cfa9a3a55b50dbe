"""What a benchmark is told; ``conf/benchmark.yaml`` explains every key. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import WHOLE, Among, Count, Device, Whole, read_settings
from scalarpath.cost import SUITES
from scalarpath.runs.job import plain_config

LISTS = ("threads", "cases", "structures", "dtypes")  # one value may stand for a list of one


@dataclass(frozen=True)
class ProfileSettings:
    """The section ``profile``."""

    head: str


@dataclass(frozen=True)
class ScaleSettings:
    """The section ``scale``."""

    head: str
    cells: list[Count]
    steps: Count

    def __post_init__(self) -> None:
        if not self.cells:
            raise ConfigError("scale.cells is empty; name at least one number of cells.")


@dataclass(frozen=True)
class PeerPythons:
    """The section ``peers``: executables by the kind of model."""

    mace: str | None
    nequip: str | None


@dataclass(frozen=True)
class BenchmarkSettings:
    """conf/benchmark.yaml, without the names of the files (``file``) of which ``output`` is made."""

    suite: Annotated[str, Among(SUITES)]
    threads: list[Count]
    rounds: Count
    output: str
    backbone: dict[str, Any]
    structure: str
    dtype: Literal["float32", "float64"]
    device: Device
    seed: Whole
    heads: list[str]
    profile: ProfileSettings
    scale: ScaleSettings
    peers: PeerPythons
    cases: list[str] | None
    structures: list[str]
    dtypes: list[Literal["float32", "float64"]]
    compiled: bool
    resume: bool

    def __post_init__(self) -> None:
        if not self.threads or (self.suite != "peers" and len(self.threads) > 1):
            raise ConfigError(f"threads = {self.threads} must be one number (suite=peers: one or several).")

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> BenchmarkSettings:
        """Read a composed conf/benchmark.yaml; raises ConfigError."""
        config = plain_config(cfg, without=("file",))
        lists = {key: [config[key]] for key in LISTS if isinstance(config.get(key), str | int)}
        return read_settings(cls, {**config, **lists}, WHOLE)
