"""The settings of a data set, checked before any file is opened.

``conf/data/extxyz.yaml`` explains each of them and is the one place of their defaults. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from glob import has_magic
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import OmegaConf

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR, cache_root
from scalarpath.core.settings import (
    MISSING,
    Among,
    Count,
    Fraction,
    Matching,
    Name,
    NonNegative,
    Range,
    Seed,
    Text,
    Whole,
    read_settings,
)
from scalarpath.core.units import ENERGY_TO_EV, FORCE_TO_EV_A, STRESS_ORDERS, STRESS_SIGNS, STRESS_TO_EV_A3

Energy = Annotated[float, Range(at_least=-1e7, at_most=1e7)]  # eV, of an atom

SOURCES = {
    "file": "scalarpath.data.sources:from_files",
    "bundled": "scalarpath.data.sources:from_bundled_files",
    "rmd17": "scalarpath.data.md17:load_rmd17",
    "md17": "scalarpath.data.md17:load_md17",
}
"""Functions of the settings that give the frames of a data set (``data.sources.SourceFrames``), by name."""

PLACES = ("path", "valid_path", "test_path", "split_file", "root")
"""Settings that say where the files of a data set are, not what they hold."""


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """Where labels are and in which units. A key of None is found by itself, but never guessed among several."""

    energy_key: Text | None
    forces_key: Text | None
    stress_key: Text | None
    virial_key: Text | None
    energy_unit: Annotated[str, Among(ENERGY_TO_EV)]
    forces_unit: Annotated[str, Among(FORCE_TO_EV_A)]
    stress_unit: Annotated[str, Among(STRESS_TO_EV_A3)]
    stress_sign: Annotated[str, Among(STRESS_SIGNS)]
    stress_order: Annotated[str, Among(STRESS_ORDERS)] | None

    def __post_init__(self) -> None:
        if self.stress_key and self.virial_key:
            raise ConfigError("data.stress_key and data.virial_key are both set; keep one, stress follows from either.")

    @property
    def order_of_six(self) -> str:
        """``stress_order``, or the one of ASE."""
        return self.stress_order or "ase"


@dataclass(frozen=True, kw_only=True)
class DataConfig(LabelSettings):
    """The section ``data``."""

    name: Name
    source: Annotated[str, Among(SOURCES)] | Annotated[str, Matching(r"[\w.]+:\w+", "package.module:function")]
    path: Text | Sequence[Text] | None = None  # mandatory in extxyz.yaml (???), so it has no default there
    index: Text
    valid_path: Text | Sequence[Text] | None
    test_path: Text | Sequence[Text] | None
    root: Text | None
    molecule: Text | None
    fold: Count
    download: bool
    on_suspicious: Literal["error", "warn"]
    split: Literal["random", "blocks", "groups", "file"]
    split_seed: Seed
    train_size: Fraction | Count | None
    valid_size: Fraction | Count | None
    test_size: Fraction | Count | None
    stratify_key: Text | Sequence[Text] | None
    group_key: Text | Sequence[Text] | None
    train_where: dict[str, Text | Sequence[Text]] | None
    test_where: dict[str, Text | Sequence[Text]] | None
    weights: dict[str, dict[str, NonNegative]] | None
    volume_bin_width: Annotated[float, Range(above=0.0, at_most=1.0)]
    trajectories: Text | None
    merge_near_duplicates: bool
    n_blocks: Count
    gap: Whole
    split_file: Text | None
    e0s: Literal["least_squares", "isolated_atoms", "mean"] | dict[Any, Energy]
    batch_size: Count
    eval_batch_size: Count
    max_edges: Count | None
    cache: bool
    cache_dir: Text | None

    @classmethod
    def read(cls, section: Mapping[str, Any] | DataConfig) -> DataConfig:
        """Settings from a plain mapping, completed from ``extxyz.yaml``; raises ConfigError.

        Settings that have been read already are given back.
        """
        return section if isinstance(section, DataConfig) else read_settings(cls, with_defaults(section), "data")

    def accepted(self) -> DataConfig:
        """The same settings for data that a run has begun with: what looks suspicious was decided then."""
        return replace(self, on_suspicious="warn")

    @property
    def cache_root(self) -> Path:
        """Folder of cached graphs and downloads: ``cache_dir``, else $SCALARPATH_CACHE, else ~/.cache/scalarpath."""
        return Path(self.cache_dir).expanduser() if self.cache_dir else cache_root()

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("stratify_key", "group_key"):
            names = getattr(self, key)
            if names is not None and (not names or (not isinstance(names, str) and "" in names)):
                raise ConfigError(
                    f"data.{key}={names!r} must be an info key, or a list of info keys, formula, "
                    "n_atoms and volume_bin."
                )
        for key in ("valid_path", "test_path"):
            if getattr(self, key) == []:
                raise ConfigError(f"data.{key}=[] names no file; name some, or set it to null.")
        if self.source in ("file", "bundled") and not self.path:
            raise ConfigError("data.path is not set; name the file to read, for example data.path=my_frames.extxyz.")
        if self.source in ("rmd17", "md17") and not self.molecule:
            raise ConfigError("data.molecule is not set; name the molecule, for example data.molecule=ethanol.")
        if self.train_size is not None and self.train_where is not None:
            raise ConfigError(
                "data.train_size and data.train_where are both set; keep one, the frames that match have no size of "
                "their own."
            )
        if self.split == "groups" and not self.group_key:
            raise ConfigError("data.split=groups needs data.group_key, the info keys whose values name a group.")
        if self.split == "file" and not self.split_file:
            raise ConfigError("data.split=file needs data.split_file, a JSON file with lists train, valid and test.")

    def refuse_unused(self) -> None:
        """Raise ConfigError for a setting that the split would ignore; runs that were begun with one stay readable."""
        if self.split != "file" and self.split_file:
            raise ConfigError(f"data.split_file is not read with data.split={self.split}; add data.split=file.")
        if self.split != "groups" and self.merge_near_duplicates:
            raise ConfigError(
                f"data.merge_near_duplicates=true joins groups, which data.split={self.split} does not have; add "
                "data.split=groups, or set it to false."
            )


def own_places(section: Mapping[str, Any]) -> dict[str, Any]:
    """Where the user's own files of a data set are, by setting: not the places within the bundled data.

    A source of somebody else may mean anything by its path, so that is a place only where there is such a file.
    """
    source = section.get("source")
    found = {key: section[key] for key in PLACES if section.get(key) not in (None, MISSING)}
    of_file = ("path", "valid_path", "test_path")
    return {
        key: value
        for key, value in found.items()
        if key not in of_file or source == "file" or (source not in SOURCES and not _absent(value))
    }


def absent_place(section: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first setting whose file or folder does not exist, with that path; patterns are left to the reader."""
    for key, value in own_places(section).items():
        for place in value if isinstance(value, Sequence) and not isinstance(value, str) else [value]:
            if _absent(place):
                return key, str(place)
    return None


def _absent(place: Any) -> bool:
    path = Path(str(place)).expanduser()
    name = path.name.rpartition("@")[0]
    without_slice = path.with_name(name) if name else path  # "." has no name
    return not (path.exists() or without_slice.exists() or has_magic(str(path)))


def with_defaults(section: Any) -> Any:
    """The mapping ``section``, completed from ``extxyz.yaml``; anything else as it is."""
    return {**_defaults(), **section} if isinstance(section, Mapping) else section


@cache
def _defaults() -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(CONF_DIR / "data" / "extxyz.yaml"))  # type: ignore[return-value]
