"""What a configuration names by where it lives, ``package.module:name``; classes of the package have short names.

A name that the user types may be anything. A name that stands in a file, a checkpoint or a stored configuration, may
have been put there by somebody else, and importing it runs code: see ``names_from_file``.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from scalarpath.core.errors import ConfigError, TrustError
from scalarpath.core.settings import nearest

T = TypeVar("T")

# the file that names stand in, and what is trusted; None: the user has typed them
_FILE: ContextVar[tuple[Path, tuple[str, ...]] | None] = ContextVar("file", default=None)


@contextmanager
def names_from_file(file: Path, trust: Collection[str] = ()) -> Iterator[None]:
    """Within this block names come from ``file``: nothing is imported that is not part of ``trust``.

    trust: packages, modules, or ``package.module:name``. Classes of modules that have been imported before are found
    too. Raises TrustError, when such a name is met, for anything else.
    """
    token = _FILE.set((file, tuple(trust)))
    try:
        yield
    finally:
        _FILE.reset(token)


def imported(location: str, setting: str) -> Any:
    """The object at ``location``, which is of the form ``package.module:name``.

    Raises ConfigError, which begins with ``setting``, where there is none; TrustError where a file names what is not
    trusted.
    """
    module, _, attribute = location.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{setting} is not of the form package.module:name.")
    _refuse_untrusted(location, module, setting)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting} cannot be imported ({error}); install it or correct the name.") from error


def locations(config: Any) -> list[str]:
    """Every ``package.module:name`` among the values of a configuration."""
    if isinstance(config, Mapping):
        return [location for value in config.values() for location in locations(value)]
    return [config] if isinstance(config, str) and re.fullmatch(r"[\w.]+:\w+", config) else []


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
        module, _, attribute = str(found).partition(":")
        known = getattr(sys.modules.get(module), attribute, None)
        # what has been imported already runs no code, and only a subclass of ``base`` comes back
        found = known if isinstance(known, type) else imported(str(found), f"{what} '{name}'")
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{what} '{name}' is not a subclass of {base.__module__}.{base.__name__}.")
    return found


def _refuse_untrusted(location: str, module: str, setting: str) -> None:
    if (found := _FILE.get()) is None:
        return
    file, trust = found
    own = __name__.partition(".")[0]
    if not any(location == name or f"{module}.".startswith(f"{name}.") for name in (own, *trust)):
        raise TrustError(
            f"{file}: {setting} is not a part of {own}, and to load it runs code of {module}; if you trust that, add "
            f"trust=[{module}]."
        )
