"""Which settings decide the numbers of a run: its hash, and in what two runs differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from scalarpath.core.settings import flat
from scalarpath.data.config import with_defaults
from scalarpath.runs.job import NOT_SETTINGS

_NOT_HASHED_AT_FIRST = ("output_dir", *NOT_SETTINGS, "logger", "artifacts", "given_paths", "evaluate_train_frames")
NO_NUMBER = (
    *_NOT_HASHED_AT_FIRST, "measure_overhead", "callbacks.progress", "callbacks.step_timer", "data.cache",
    "data.cache_dir", "data.download", "data.on_suspicious", "evaluate_test", "figures",
)  # fmt: skip
"""Settings, and groups of them, that decide no number of training and test: how output is written, what is measured
besides, where files are kept."""


# how a run starts from a file, where it does; what older runs, which do not have these settings, did
STARTING = {"init_e0s": "fit", "init_elements": "data"}


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of the settings that decide the numbers, as they were typed."""
    return _hash(config, NO_NUMBER)


def is_hash_of(stored: str, config: Mapping[str, Any]) -> bool:
    """Whether ``stored`` is the hash of ``config``, also as earlier versions made it."""
    return stored in (_hash(config, NO_NUMBER), _hash(config, _NOT_HASHED_AT_FIRST))


def differing(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that decide numbers and differ, by dotted key; what a section ``data`` does not say has its default."""
    first, second = (
        flat(deciding({**STARTING, **config, "data": with_defaults(config.get("data"))})) for config in (one, two)
    )
    keys = sorted(first.keys() | second.keys())
    if not one.get("init_from") and not two.get("init_from"):
        keys = [key for key in keys if key not in STARTING]
    return {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}


def deciding(config: Mapping[str, Any], without: Collection[str] = NO_NUMBER) -> dict[str, Any]:
    """The settings of a run that decide its numbers, with paths of data as they were typed."""
    kept = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    if config.get("given_paths"):
        kept["data"] |= config["given_paths"]
    if not config.get("earlier_max_epochs"):
        kept.pop("earlier_max_epochs", None)
    for key in without:
        group, _, name = key.partition(".")
        if not name:
            kept.pop(group, None)
        elif isinstance(kept.get(group), dict):
            kept[group].pop(name, None)
    return kept


def _hash(config: Mapping[str, Any], without: Collection[str]) -> str:
    return hashlib.sha256(json.dumps(deciding(config, without), sort_keys=True).encode()).hexdigest()
