"""The settings of a data set: the one place where their names, defaults and allowed values are written in Python.

``conf/data/extxyz.yaml`` lists the same keys with a comment each.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import cache_root
from scalarpath.data.labels import LabelSpec

CHOICES: dict[str, tuple[str, ...]] = {
    "source": ("file", "bundled", "rmd17", "md17"),
    "split": ("random", "blocks", "groups", "file"),
    "on_suspicious": ("error", "warn"),
}
E0_METHODS = ("least_squares", "isolated_atoms", "mean")
MISSING = "???"  # how Hydra writes a mandatory value that was not given


@dataclass(frozen=True)
class DataConfig:
    """Settings of one data set; ``conf/data/extxyz.yaml`` explains each key. Raises ConfigError for a bad value."""

    name: str = "extxyz"
    source: str = "file"
    path: str | None = None
    index: str = ":"
    valid_path: str | None = None
    test_path: str | None = None
    root: str | None = None
    molecule: str | None = None
    fold: int = 1
    download: bool = False
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None
    energy_unit: str = "eV"
    forces_unit: str = "eV/A"
    stress_unit: str = "eV/A^3"
    stress_sign: str = "tension_positive"
    on_suspicious: str = "error"
    split: str = "random"
    split_seed: int = 0
    train_size: float | None = None
    valid_size: float | None = 0.1
    test_size: float | None = 0.1
    stratify_key: str | Sequence[str] | None = None
    group_key: str | Sequence[str] | None = None
    volume_bin_width: float = 0.05
    trajectories: str | None = None
    merge_near_duplicates: bool = False
    n_blocks: int = 10
    gap: int = 0
    split_file: str | None = None
    e0s: str | Mapping[Any, float] = "least_squares"
    batch_size: int = 8
    eval_batch_size: int = 16
    max_edges: int | None = None
    cache: bool = True
    cache_dir: str | None = None

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> DataConfig:
        """Settings from a plain mapping; raises ConfigError for an unknown key, with the nearest known one."""
        known = [f.name for f in fields(cls)]
        for key in config:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}."
                raise ConfigError(f"data.{key} is not a setting of a data set; {hint}")
        values: dict[str, Any] = {key: None if value == MISSING else value for key, value in config.items()}
        return cls(**values)

    @property
    def cache_root(self) -> Path:
        """Folder of cached graphs and downloads: ``cache_dir``, else $SCALARPATH_CACHE, else ~/.cache/scalarpath."""
        return Path(self.cache_dir).expanduser() if self.cache_dir else cache_root()

    @property
    def labels(self) -> LabelSpec:
        """The part of the settings that says where labels are and in which units."""
        return LabelSpec(**{f.name: getattr(self, f.name) for f in fields(LabelSpec)})

    def __post_init__(self) -> None:
        for key, allowed in CHOICES.items():
            if getattr(self, key) not in allowed:
                raise ConfigError(f"data.{key}='{getattr(self, key)}' is unknown; use one of: {', '.join(allowed)}.")
        for key in ("split_seed", "n_blocks", "gap", "batch_size", "eval_batch_size", "max_edges", "fold"):
            value, least = getattr(self, key), 0 if key in ("split_seed", "gap") else 1
            if key == "max_edges" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"data.{key}={value!r} must be an integer of at least {least}.")
        for key in ("train_size", "valid_size", "test_size"):
            _check_size(key, getattr(self, key))
        for key in ("download", "cache", "merge_near_duplicates"):
            if not isinstance(getattr(self, key), bool):
                raise ConfigError(f"data.{key}={getattr(self, key)!r} must be true or false.")
        for key in ("stratify_key", "group_key"):
            _check_names(key, getattr(self, key))
        width = self.volume_bin_width
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= 1:
            raise ConfigError(f"data.volume_bin_width={width!r} must be a share of the volume, above 0 and at most 1.")
        self._check_companions()
        self._check_e0s()
        _ = self.labels  # units and sign are checked there

    def _check_companions(self) -> None:
        if self.source in ("file", "bundled") and not self.path:
            raise ConfigError("data.path is not set; name the file to read, for example data.path=my_frames.extxyz.")
        if self.source in ("rmd17", "md17") and not self.molecule:
            raise ConfigError("data.molecule is not set; name the molecule, for example data.molecule=ethanol.")
        if self.split == "groups" and not self.group_key:
            raise ConfigError("data.split=groups needs data.group_key, the info keys whose values name a group.")
        if self.split == "file" and not self.split_file:
            raise ConfigError("data.split=file needs data.split_file, a JSON file with lists train, valid and test.")

    def _check_e0s(self) -> None:
        if isinstance(self.e0s, Mapping):
            for element, energy in self.e0s.items():
                if isinstance(energy, bool) or not isinstance(energy, int | float):
                    raise ConfigError(f"data.e0s.{element}={energy!r} must be a number (energy of the atom in eV).")
        elif self.e0s not in E0_METHODS:
            raise ConfigError(
                f"data.e0s='{self.e0s}' is unknown; use one of: {', '.join(E0_METHODS)}, "
                "or a mapping such as '{Si: -0.81}' in eV."
            )


def _check_names(key: str, names: str | Sequence[str] | None) -> None:
    listed = [names] if isinstance(names, str) else names
    if listed is not None and not (
        isinstance(listed, Sequence) and listed and all(isinstance(name, str) and name for name in listed)
    ):
        raise ConfigError(
            f"data.{key}={names!r} must be an info key, or a list of info keys, formula, n_atoms and volume_bin."
        )


def _check_size(key: str, value: float | None) -> None:
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value <= 0 or (isinstance(value, float) and value >= 1):
        raise ConfigError(
            f"data.{key}={value!r} must be an integer number of frames, a fraction between 0 and 1, or null (the rest)."
        )
