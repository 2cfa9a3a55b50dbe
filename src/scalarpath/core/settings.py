"""The one reader of settings: a section of a configuration becomes checked values or a one-sentence ConfigError.

What a section may hold is said once, by the signature of the thing that it makes: a frozen dataclass, or the
constructor of a backbone or of a part of a head. Annotations give type and range, for example
``lr: Annotated[float, Range(above=0.0)]``, or for short ``lr: Positive``.
"""

from __future__ import annotations

import difflib
import inspect
import json
import math
import re
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Sequence as _SequenceType
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from scalarpath.core.errors import ConfigError

T = TypeVar("T")

MISSING = "???"  # how YAML files say that a setting must be given on the command line
WHOLE = "config"  # what the configuration as a whole is called in errors
_NOUNS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class Range:
    """Limits of a number, in an annotation: ``above`` and ``below`` exclude the limit, the others include it."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        lower = (("greater than", self.above), ("at least", self.at_least))
        limits = (*lower, ("less than", self.below), ("at most", self.at_most))
        # an upper end that only a slip reaches is not worth the words
        said = [f"{words} {limit:g}" for words, limit in limits if limit is not None and limit < 1e9]
        return " and ".join(said)

    def check(self, value: float, where: str) -> None:
        """Raise ConfigError for a value outside."""
        # written so that NaN fails too
        if self.above is not None and not value > self.above:
            raise ConfigError(f"{where} must be greater than {self.above:g}, not {shown(value)}.")
        if self.at_least is not None and not value >= self.at_least:
            raise ConfigError(f"{where} must be at least {self.at_least:g}, not {shown(value)}.")
        if self.below is not None and not value < self.below:
            raise ConfigError(f"{where} must be less than {self.below:g}, not {shown(value)}.")
        if self.at_most is not None and not value <= self.at_most:
            raise ConfigError(f"{where} must be at most {self.at_most:g}, not {shown(value)}.")


@dataclass(frozen=True, eq=False)
class Among:
    """The texts that are allowed, in an annotation: ``Annotated[str, Among(TABLE)]`` takes the keys of a table."""

    names: Collection[str]

    def check(self, value: str, where: str) -> None:
        """Raise ConfigError for another text."""
        choose(value, self.names, where)


@dataclass(frozen=True)
class Matching:
    """The form of a text, in an annotation: a regular expression, and what it allows in words."""

    pattern: str
    words: str

    def __str__(self) -> str:
        return f"such as {self.words}"

    def check(self, value: str, where: str) -> None:
        """Raise ConfigError for another text."""
        if not re.fullmatch(self.pattern, value):
            raise ConfigError(f"{where} must be {self.words}, not {shown(value)}.")


@dataclass(frozen=True)
class NotEmpty:
    """Of a text, in an annotation: it says something."""

    def __str__(self) -> str:
        return "that is not empty"

    def check(self, value: str, where: str) -> None:
        """Raise ConfigError for a text of nothing but blanks."""
        if not value.strip():
            raise ConfigError(f"{where} must be a text that is not empty, not {value!r}.")


# the upper ends are far beyond what is meant: a number above is a slip, and would overflow or never end
Positive = Annotated[float, Range(above=0.0, at_most=1e12)]
NonNegative = Annotated[float, Range(at_least=0.0, at_most=1e12)]
Fraction = Annotated[float, Range(above=0.0, below=1.0)]
Count = Annotated[int, Range(at_least=1, at_most=10**9)]
Whole = Annotated[int, Range(at_least=0, at_most=10**9)]
Seed = Annotated[int, Range(at_least=0, below=2**63)]
Threads = Annotated[int, Range(at_least=1, at_most=1024)]
Width = Annotated[int, Range(at_least=1, at_most=10_000)]  # of a network or basis
Depth = Annotated[int, Range(at_least=0, at_most=100)]  # layers of a network
Layers = Annotated[int, Range(at_least=1, at_most=100)]
Cutoff = Annotated[float, Range(at_least=0.1, at_most=100.0)]  # Å
Text = Annotated[str, NotEmpty()]
Name = Annotated[str, Matching(r"[^/]*[^/\s][^/]*", "a name without /")]  # of a part of a directory's name
Device = Annotated[str, Matching(r"cpu|mps|cuda(:\d+)?", "cpu, mps, cuda or cuda:<number>")]


def read_settings(kind: Callable[..., T], section: Any, where: str, given: Mapping[str, Any] | None = None) -> T:
    """Call ``kind`` with the settings of the mapping ``section``, called ``where`` in errors; see ``checked_settings``.

    ``given``: arguments by name that are no settings, such as a generator.
    """
    return kind(**(given or {}), **checked_settings(kind, section, where, given or ()))


def checked_settings(kind: Callable[..., Any], section: Any, where: str, given: Collection[str] = ()) -> dict[str, Any]:
    """The settings in ``section`` for the signature of ``kind``, each of the annotated type and within its range.

    Types: int, float (finite), bool, str, Literal, list, tuple, Sequence, dict, dataclasses, alternatives (``|``), and
    ``Annotated[..., Range(...)]`` or ``Annotated[str, Among(...)]`` around any of them or their entries; a value of
    another class is taken as it is. A parameter without a default must be set. No
    setting is called like one of ``given``.

    Raises ConfigError with one sentence that names the setting, what is allowed, and the nearest name.
    """
    section = _group(section, where)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = {
        name: p for name, p in inspect.signature(kind).parameters.items() if name not in given and p.kind not in several
    }
    refuse_unknown(section, set(parameters), where)
    section = {name: value for name, value in section.items() if value != MISSING}
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in section]
    if missing:
        raise ConfigError(f"{where} lacks the setting '{missing[0]}'; it needs: {', '.join(parameters)}.")
    hints = get_type_hints(kind if is_dataclass(kind) else _function(kind), include_extras=True)
    return {
        name: checked(value, hints.get(name, Any), name if where == WHOLE else f"{where}.{name}")
        for name, value in section.items()
    }


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def refuse_unknown(section: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise ConfigError when ``section`` holds a key that is not ``known``."""
    unknown = sorted(str(key) for key in section if key not in known)
    if unknown:
        names = ", ".join(sorted(known))
        raise ConfigError(
            f"{where} has no setting '{unknown[0]}'{nearest(unknown[0], known)}; known settings: {names}."
        )


def choose(value: Any, allowed: Collection[Any], where: str) -> Any:
    """``value`` if it is one of ``allowed``; else raise ConfigError that lists these."""
    # the type counts too: True equals 1, and so does 1.0
    if any(type(value) is type(item) and value == item for item in allowed):
        return value
    names = ", ".join(shown(item) if item is None else str(item) for item in allowed)
    raise ConfigError(f"{where} must be one of {names}, not {shown(value)}{nearest(value, allowed)}.")


def shown(value: Any) -> str:
    """A value as it is written in YAML where Python writes None, True or False."""
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def nearest(name: Any, known: Collection[Any]) -> str:
    """`` (did you mean 'x'?)`` with the name of ``known`` that is most like ``name``, or nothing."""
    names = {str(item).lower(): str(item) for item in known}
    found = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.7)
    return f" (did you mean '{names[found[0]]}'?)" if found else ""


def _group(value: Any, where: str) -> Mapping[Any, Any]:
    """``value`` if it is a group of settings; raises ConfigError."""
    if isinstance(value, Mapping):
        return value
    # a shell makes two words of {a:1,b:2}, and the last of them counts
    torn = isinstance(value, str) and ":" in value
    quoted = f"; in a shell a group is quoted: '{where}={{a: 1, b: 2}}'" if torn else ""
    raise ConfigError(f"{where} must be a group of settings, not {shown(value)}{quoted}.")


def checked(value: Any, hint: Any, where: str) -> Any:
    """``value`` as the annotation ``hint`` wants it; raises ConfigError."""
    if hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = checked(value, arguments[0], where)
        for limits in arguments[1:]:
            if isinstance(limits, (Range, Among, Matching, NotEmpty)) and found is not None:
                limits.check(found, where)
        return found
    if origin in (Union, types.UnionType):
        return _alternative(value, arguments, where)
    if is_dataclass(hint):
        return read_settings(hint, value, where)  # type: ignore[arg-type]
    if origin is Literal:
        return choose(value, arguments, where)
    if origin is dict or hint is dict:
        name, entry = arguments or (Any, Any)
        return {
            checked(key, name, f"the name '{key}' in {where}"): checked(item, entry, f"{where}.{key}")
            for key, item in _group(value, where).items()
        }
    if (origin or hint) in (list, tuple, _SequenceType):
        return _checked_list(value, origin or hint, arguments or (Any, ...), where)
    if hint not in _NOUNS:
        return value
    # bool is a subclass of int, and an int is a fine float
    wrong_bool = isinstance(value, bool) and hint is not bool
    if wrong_bool or not isinstance(value, (int, float) if hint is float else hint):
        raise ConfigError(f"{where} must be {_NOUNS[hint]}, not {shown(value)}.")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{where} must be a finite number, not {shown(value)}.")
    return hint(value)


def _checked_list(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> Any:
    """A list, or a tuple of one type: of any length, or of the one that the annotation gives."""
    length = len(arguments) if origin is tuple and arguments[-1] is not Ellipsis else None
    if not isinstance(value, Sequence) or isinstance(value, str) or length not in (None, len(value)):
        raise ConfigError(f"{where} must be a list{f' of {length} values' if length else ''}, not {shown(value)}.")
    entries = [checked(item, arguments[0], where) for item in value]
    return tuple(entries) if origin is tuple else entries


def _alternative(value: Any, hints: tuple[Any, ...], where: str) -> Any:
    """The value as the first alternative that takes it; the error of one that fits alone, or what all of them allow."""
    if value is None and type(None) in hints:
        return None
    errors = {}
    for hint in hints:
        if hint is not type(None):
            try:
                return checked(value, hint, where)
            except ConfigError as error:
                errors[hint] = error
    # the one alternative whose kind the value has explains best what is wrong, unless it is a list of words: what is
    # not in it may have been meant as something else
    fitting = [hint for hint in errors if _fits(value, hint)]
    chosen = fitting if len(fitting) == 1 else list(errors)
    if len(chosen) == 1 and not _choice(chosen[0]):
        raise errors[chosen[0]]
    words = [word for hint in errors for word in _choice(hint)]
    allowed = " or ".join(map(describe, hints))
    raise ConfigError(f"{where} must be {allowed}, not {shown(value)}{nearest(value, words)}.")


def describe(hint: Any) -> str:
    """What an annotation allows, in words: ``a number greater than 0 and less than 1``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if words := _choice(hint):
        return f"{'one of ' if len(words) > 1 else ''}{', '.join(map(str, words))}"
    if origin is Annotated:
        return " ".join([describe(arguments[0]), *map(str, arguments[1:])])
    if origin in (Union, types.UnionType):
        return " or ".join(map(describe, arguments))
    if (origin or hint) in (list, tuple, _SequenceType):
        return "a list"
    return _NOUNS.get(hint, "null" if hint is type(None) else "a group of settings")


def _choice(hint: Any) -> Collection[Any]:
    """The values among which an annotation lets choose, such as those of a Literal; none where it is no such list."""
    if get_origin(hint) is Annotated:
        return next((limits.names for limits in get_args(hint)[1:] if isinstance(limits, Among)), ())
    return get_args(hint) if get_origin(hint) is Literal else ()


def _fits(value: Any, hint: Any) -> bool:
    """Whether ``value`` is of the kind of ``hint``: a group, a list, text or a number."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    origin = get_origin(hint) or hint
    if isinstance(value, Mapping):
        return origin is dict or is_dataclass(hint)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return origin in (list, tuple, _SequenceType)
    if isinstance(value, str):
        return origin in (str, Literal)
    return origin in (int, float, bool)


def _function(kind: Callable[..., Any]) -> Any:
    """What carries the annotations of a constructor."""
    return kind.__init__ if isinstance(kind, type) else kind  # type: ignore[misc]
