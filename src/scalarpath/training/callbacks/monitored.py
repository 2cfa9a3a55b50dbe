"""Looking up the metric that a callback decides by."""

from __future__ import annotations

import pytorch_lightning as pl

from scalarpath.core.errors import ConfigError


def monitored_value(trainer: pl.Trainer, name: str, setting: str) -> float:
    """Value of the logged metric ``name``; ``setting`` is the configuration key that asked for it.

    Raises ConfigError that lists what is logged when there is no such metric.
    """
    if name not in trainer.callback_metrics:
        known = ", ".join(sorted(key for key in trainer.callback_metrics if key.startswith("val/")))
        raise ConfigError(f"{setting} = '{name}' is not logged in this run; choose one of: {known}.")
    return float(trainer.callback_metrics[name])
