"""Measurements of cost: ``python benchmark.py suite=heads|peers|profile|scale|kernels``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from omegaconf import DictConfig

from scalarpath.core.errors import ConfigError

SUITES = {
    "heads": "scalarpath.cost.heads",
    "peers": "scalarpath.cost.peers.suite",
    "profile": "scalarpath.cost.profile",
    "scale": "scalarpath.cost.scale",
    "kernels": "scalarpath.cost.kernels",
}


def run(cfg: DictConfig) -> Any:
    """Run the suite of ``cfg``; returns what it has measured. Raises ConfigError for an unknown one."""
    if cfg.suite not in SUITES:
        raise ConfigError(f"suite = {cfg.suite} is unknown; use one of: {', '.join(SUITES)}.")
    return import_module(SUITES[cfg.suite]).run(cfg)  # only what the suite needs
