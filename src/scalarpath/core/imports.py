"""What a configuration names by where it lives, ``package.module:name``; classes of the package have short names."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import nearest

T = TypeVar("T")


def imported(location: str, setting: str) -> Any:
    """The object at ``location``, which is of the form ``package.module:name``.

    Raises ConfigError, which begins with ``setting``, where there is none.
    """
    module, _, attribute = location.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{setting} is not of the form package.module:name.")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting} cannot be imported ({error}); install it or correct the name.") from error


def class_named(name: Any, table: Mapping[str, type[T] | str], base: type[T], what: str) -> type[T]:
    """The subclass of ``base`` called ``name``: a key of ``table``, or ``package.module:Class``.

    ``table`` holds classes, or texts of the second form for those that are imported only when they are needed.
    Raises ConfigError, in which ``what`` says what the class is, when there is none or it is no subclass.
    """
    found: Any = table.get(name, name) if isinstance(name, str) else name
    if not isinstance(found, type):
        if ":" not in str(found):
            raise ConfigError(
                f"{what} '{name}' is unknown{nearest(name, table)}; use {', '.join(table)} or 'package.module:Class'."
            )
        found = imported(found, f"{what} '{name}'")
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{what} '{name}' is not a subclass of {base.__module__}.{base.__name__}.")
    return found
