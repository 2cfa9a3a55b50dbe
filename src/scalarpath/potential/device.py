"""Devices that a potential can be computed on."""

from __future__ import annotations

import torch

from scalarpath.core.errors import ConfigError


def usable_device(name: str | torch.device) -> torch.device:
    """The device called ``name``; raises ConfigError where there is none, which torch says late and at length."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device={name} is unknown; use cpu, mps, cuda or cuda:<number>.") from None
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device={name}: this machine has none that torch can use; use cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        build = "" if torch.version.cuda else " (its build is for CPUs)"
        raise ConfigError(f"device={name}: torch{build} can use {torch.cuda.device_count()} GPU(s) here; use cpu.")
    return device
