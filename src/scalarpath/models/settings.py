"""What an export and a prediction are told; ``conf/export.yaml`` and ``conf/predict.yaml`` explain every key.

No torch is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError
from scalarpath.core.interpreters import how_to_get
from scalarpath.core.metrics import ALL, ELEMENT
from scalarpath.core.settings import WHOLE, Count, Device, Matching, Text, Threads, read_settings
from scalarpath.data.config import LabelSettings, with_defaults
from scalarpath.runs.job import plain_config

SUFFIXES = {
    "torch-export": (".pt2", "an archive of torch.export"),
    "mace": (".model", "a model of mace-torch"),
    "mliap": (".mliap", "a file for LAMMPS"),  # which reads .pt with torch.load, and that may refuse classes
}
"""By format: the end of the file's name, and what the file is."""


@dataclass(frozen=True)
class ExportSettings:
    """conf/export.yaml."""

    run: Text
    file: Text
    format: Literal["scalarpath", "torch-export", "mace", "mliap"]
    licence: Text | None
    trust: list[Text]
    python: Text | None = None

    def __post_init__(self) -> None:
        suffix, what = SUFFIXES.get(self.format, (None, None))
        if suffix is not None and Path(self.file).suffix != suffix:
            raise ConfigError(f"file={self.file} is to be {what}; call it {Path(self.file).stem}{suffix}.")
        if self.format != "mace":
            if self.python is not None:
                raise ConfigError(f"python is for format=mace; leave it out with format={self.format}.")
        elif self.python is None:
            raise ConfigError(f"format=mace: only mace-torch can make its files; {how_to_get('mace-torch')}")
        elif self.licence is not None:
            raise ConfigError("format=mace has no place for a licence; leave licence= out, and give it with the file.")

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> ExportSettings:
        """Read a composed conf/export.yaml; raises ConfigError."""
        needs = {"run": "the directory of a finished run", "file": "the file to write, such as model.sp"}
        return read_settings(cls, _with(plain_config(cfg, without=()), needs), WHOLE)


@dataclass(frozen=True)
class PredictSettings:
    """conf/predict.yaml; data: how the labels of the structures are called, and in which units they are."""

    model: Text | list[Text]
    path: Text | list[Text]
    output: Text
    select: Count | None
    prefix: Annotated[str, Matching(r"[A-Za-z]\w*", "a name of letters, digits and _")]
    errors: bool
    group_key: Text | None
    data: LabelSettings
    batch_size: Count
    max_edges: Count | None
    dtype: Literal["float32", "float64"] | None
    device: Device
    threads: Threads
    trust: list[Text]

    def __post_init__(self) -> None:
        if Path(self.output).suffix not in (".extxyz", ".xyz"):
            raise ConfigError(
                f"output={self.output} is written as extended XYZ; call it {Path(self.output).stem}.extxyz."
            )

        if self.select is not None and (isinstance(self.model, str) or len(self.model) < 2):
            raise ConfigError("select= goes by the spread of two or more models; give them as model=[A,B,C].")

        if self.group_key in (ALL, ELEMENT):
            raise ConfigError(
                f"group_key={self.group_key}: these errors are there always; name a key of info, or null."
            )

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> PredictSettings:
        """Read a composed conf/predict.yaml; raises ConfigError."""
        needs = {
            "model": "a file of export.py, a run directory or a checkpoint",
            "path": "the structures, such as structures.extxyz",
            "output": "the file to write, such as predicted.extxyz",
        }
        config = _with(plain_config(cfg, without=()), needs)
        if isinstance(config.get("data"), dict):
            defaults, given = with_defaults({}), {k: v for k, v in config["data"].items() if v is not None}
            config = {**config, "data": {f.name: defaults[f.name] for f in fields(LabelSettings)} | given}
        return read_settings(cls, config, WHOLE)


def _with(config: dict[str, Any], needs: dict[str, str]) -> dict[str, Any]:
    """The settings, with none of those missing without which there is nothing to do."""
    for key, what in needs.items():
        if config.get(key) is None:
            raise ConfigError(f"give {key}=<{what}>.")
    return config
