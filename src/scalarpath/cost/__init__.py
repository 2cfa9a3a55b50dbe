"""Measurements of cost: ``python benchmark.py suite=heads`` and the other names of ``SUITES``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from omegaconf import DictConfig

from scalarpath.core.memory import imports_at_once

SUITES = {
    "heads": "scalarpath.cost.heads",
    "peers": "scalarpath.cost.peers.suite",
    "accuracy": "scalarpath.cost.accuracy.suite",
    "profile": "scalarpath.cost.profile",
    "scale": "scalarpath.cost.scale",
    "kernels": "scalarpath.cost.kernels",
    "training": "scalarpath.cost.training",
    "optimizers": "scalarpath.cost.optimizers",
    "gpu": "scalarpath.cost.gpu.suite",
}


def run(cfg: DictConfig) -> Any:
    """Run the suite that a composed conf/benchmark.yaml names; returns what it has measured. Raises ConfigError."""
    from scalarpath.cost.named import check_names
    from scalarpath.cost.output import prepare_output
    from scalarpath.cost.settings import BenchmarkSettings

    settings = BenchmarkSettings.from_hydra(cfg)
    check_names(settings)
    prepare_output(settings)
    with imports_at_once():
        from scalarpath.potential.configuration import check_options, potential_config
        from scalarpath.potential.device import usable_device

    usable_device(settings.device)
    check_options(potential_config([], settings.backbone, {}))
    with imports_at_once():
        suite = import_module(SUITES[settings.suite])  # only what the suite needs
    return suite.run(settings)
