"""What a benchmark is told; ``conf/benchmark.yaml`` explains every key. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import (
    WHOLE,
    Among,
    Count,
    Cutoff,
    Device,
    Matching,
    Name,
    Positive,
    Range,
    Seed,
    Text,
    Threads,
    checked,
    choose,
    read_settings,
)
from scalarpath.cost import SUITES
from scalarpath.cost.peers.models import MODELS
from scalarpath.runs.job import plain_config

CRYSTALS = {"si8": ("Si", 5.47, 1), "si64": ("Si", 5.47, 2), "ag4": ("Ag", 4.15, 1), "ag108": ("Ag", 4.15, 3)}
"""Structures by name: element, lattice constant in Å, cubic cells along each axis."""

Structure = Annotated[
    str,
    Matching(
        rf"({'|'.join(CRYSTALS)})(x[1-9]\d{{0,3}})?|(aspirin|ethanol)[1-9]\d{{0,3}}",
        "si8, si64, ag4, ag108, ethanol10 or aspirin10 (another number of molecules at will; si64x2: two frames)",
    ),
]
Rounds = Annotated[int, Range(at_least=1, at_most=10**6)]

LISTS = ("threads", "cases", "structures", "dtypes", "modes")  # one value may stand for a list of one


@dataclass(frozen=True)
class ProfileSettings:
    """The section ``profile``."""

    head: Text


@dataclass(frozen=True)
class ScaleSettings:
    """The section ``scale``."""

    head: Text
    cells: list[Annotated[int, Range(at_least=1, at_most=100)]]
    steps: Rounds

    def __post_init__(self) -> None:
        if not self.cells:
            raise ConfigError("scale.cells is empty; name at least one number of cells.")


@dataclass(frozen=True)
class AccuracySettings:
    """The section ``accuracy``."""

    backbones: list[Text]
    epochs: Count
    seeds: list[Seed]
    recipes: list[Text] | None
    own: list[Text]
    budgets: list[Positive]

    def __post_init__(self) -> None:
        if not self.backbones or not self.seeds:
            raise ConfigError("accuracy.backbones and accuracy.seeds must each name at least one.")


@dataclass(frozen=True)
class TrainingSettings:
    """The section ``training``: names of groups of conf, and how many epochs."""

    backbone: Name
    head: Name
    data: Name
    optimizer: Name
    max_epochs: Rounds


@dataclass(frozen=True)
class GpuSettings:
    """The section ``gpu``."""

    size: Literal["production", "smoke"]
    heads: list[Text]
    modes: list[Literal["eager", "cuequivariance", "compiled"]]
    minutes: Positive


@dataclass(frozen=True)
class PeerPythons:
    """The section ``peers``: executables by the kind of model."""

    mace: Text | None
    nequip: Text | None


@dataclass(frozen=True)
class BenchmarkSettings:
    """conf/benchmark.yaml, without the names of the files (``file``) of which ``output`` is made."""

    suite: Annotated[str, Among(SUITES)]
    threads: list[Threads]
    rounds: Rounds
    output: Text
    backbone: dict[str, Any]
    structure: Structure
    dtype: Literal["float32", "float64"]
    device: Device
    seed: Seed
    heads: list[Text]
    optimizers: list[Text]
    profile: ProfileSettings
    scale: ScaleSettings
    training: TrainingSettings
    gpu: GpuSettings
    peers: PeerPythons
    data: dict[str, Any]
    accuracy: AccuracySettings
    cases: list[Annotated[str, Among(MODELS)]] | None
    structures: list[Structure]
    dtypes: list[Literal["float32", "float64"]]
    modes: list[Literal["eager", "compiled", "both_compiled", "aotinductor"]]
    resume: bool

    def __post_init__(self) -> None:
        checked(self.backbone.get("cutoff"), Cutoff, "backbone.cutoff")
        if not self.threads or (self.suite != "peers" and len(self.threads) > 1):
            raise ConfigError(f"threads = {self.threads} must be one number (suite=peers: one or several).")
        if self.suite in ("peers", "accuracy") and not (self.peers.mace or self.peers.nequip):
            raise ConfigError(
                f"suite={self.suite}: no peer is given; make an environment for one (python -m venv PEER && "
                "PEER/bin/pip install mace-torch, or nequip nequip-allegro) and set peers.mace=PEER/bin/python or "
                "peers.nequip=PEER/bin/python."
            )

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> BenchmarkSettings:
        """Read a composed conf/benchmark.yaml; raises ConfigError."""
        choose(cfg.get("suite"), tuple(SUITES), "suite")  # of which the name of the output is made
        config = plain_config(cfg, without=("file",))
        lists = {key: [config[key]] for key in LISTS if isinstance(config.get(key), str | int)}
        if config.get("device") is None:
            config["device"] = "cuda" if config["suite"] == "gpu" else "cpu"
        return read_settings(cls, {**config, **lists}, WHOLE)
