"""Checks of options, where the things that have them are built."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from scalarpath.core.errors import ConfigError


def known(where: str, options: Mapping[str, Any], constructor: type, given: Collection[str] = ()) -> None:
    """Raise ConfigError for an option that ``constructor`` does not take; ``given`` arguments are no options."""
    accepted = [name for name in inspect.signature(constructor).parameters if name not in given]
    for name in options:
        if name not in accepted:
            raise ConfigError(f"{where}: option '{name}' is unknown; the options are: {', '.join(sorted(accepted))}.")


def positive(where: str, **options: Any) -> None:
    """Raise ConfigError for the first option that is no positive number (every entry, for a list)."""
    for name, value in options.items():
        for entry in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(entry, bool) or not isinstance(entry, (int, float)) or not entry > 0:
                raise ConfigError(f"{where}.{name} = {value} must be positive.")


def count(where: str, *, at_least: int = 1, **options: Any) -> None:
    """Raise ConfigError for the first option that is no whole number of at least so much (every entry, for a list)."""
    for name, value in options.items():
        for entry in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(entry, bool) or not isinstance(entry, int) or entry < at_least:
                raise ConfigError(f"{where}.{name} = {value} must be a whole number of at least {at_least}.")


def choice(where: str, allowed: Collection[Any], **options: Any) -> None:
    """Raise ConfigError for the first option whose value is not one of ``allowed``."""
    for name, value in options.items():
        if value not in allowed:
            names = ", ".join("null" if item is None else str(item) for item in allowed)
            raise ConfigError(f"{where}.{name} = {value} is not possible; use one of: {names}.")
