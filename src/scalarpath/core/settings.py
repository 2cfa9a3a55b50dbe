"""Strict reading of configuration sections: a section becomes a frozen dataclass or a one-sentence ConfigError."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from scalarpath.core.errors import ConfigError

T = TypeVar("T")

WHOLE = "config"  # what the configuration as a whole is called in errors
_NOUNS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


def bounded(*, above: float | None = None, at_least: float | None = None, below: float | None = None) -> Any:
    """A dataclass field that must lie in the given range (checked by ``read_settings``; None passes)."""
    return field(metadata={"above": above, "at_least": at_least, "below": below})


def read_settings(kind: type[T], section: Any, where: str) -> T:
    """Build the dataclass ``kind`` from the mapping ``section``, called ``where`` in errors.

    Every field must be given, nothing else may be; values must have the annotated type (int, float, bool, str,
    Literal, list, tuple of one type, dict, a nested dataclass, or any of them with ``| None``) and lie in the range of
    ``bounded``. The YAML files in ``conf/`` are the only place of defaults.

    Raises ConfigError with one sentence that names the setting and what is allowed.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where} must be a group of settings, not {section!r}.")
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    refuse_unknown(section, set(known), where)
    missing = [name for name in known if name not in section]
    if missing:
        raise ConfigError(f"{where} lacks the setting '{missing[0]}'; it needs: {', '.join(known)}.")
    values = {}
    for name, value in section.items():
        full_name = name if where == WHOLE else f"{where}.{name}"
        values[name] = _checked(value, hints[name], full_name)
        _check_range(values[name], known[name].metadata, full_name)
    return kind(**values)


def refuse_unknown(section: Mapping[str, Any], known: set[str], where: str) -> None:
    """Raise ConfigError when ``section`` holds a key that is not ``known``."""
    unknown = sorted(str(key) for key in section if key not in known)
    if unknown:
        raise ConfigError(f"{where} has no setting '{unknown[0]}'; known settings: {', '.join(sorted(known))}.")


def _checked(value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = (choice for choice in get_args(hint) if choice is not type(None))
    if is_dataclass(hint):
        return read_settings(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where} must be one of {', '.join(map(str, get_args(hint)))}, not {value!r}.")
        return value
    if get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a group of settings, not {value!r}.")
        return dict(value)
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        length = None if kinds[-1] is Ellipsis else len(kinds)
        if not isinstance(value, Sequence) or isinstance(value, str) or length not in (None, len(value)):
            raise ConfigError(f"{where} must be a list{f' of {length} values' if length else ''}, not {value!r}.")
        return tuple(_checked(item, kinds[0], where) for item in value)
    if get_origin(hint) is list:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(f"{where} must be a list, not {value!r}.")
        return [_checked(item, get_args(hint)[0], where) for item in value]
    # bool is a subclass of int, and an int is a fine float
    wrong_bool = isinstance(value, bool) and hint is not bool
    if wrong_bool or not isinstance(value, (int, float) if hint is float else hint):
        raise ConfigError(f"{where} must be {_NOUNS[hint]}, not {value!r}.")
    return hint(value)


def _check_range(value: Any, limits: Mapping[str, Any], where: str) -> None:
    if value is None:
        return
    above, at_least, below = limits.get("above"), limits.get("at_least"), limits.get("below")
    # written so that NaN fails too
    if above is not None and not value > above:
        raise ConfigError(f"{where} must be greater than {above:g}, not {value!r}.")
    if at_least is not None and not value >= at_least:
        raise ConfigError(f"{where} must be at least {at_least:g}, not {value!r}.")
    if below is not None and not value < below:
        raise ConfigError(f"{where} must be less than {below:g}, not {value!r}.")
