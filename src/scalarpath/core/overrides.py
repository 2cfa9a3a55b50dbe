"""The settings of a command line: read as they were meant, printed so that they can be pasted, errors in one sentence.

Hydra's grammar refuses ``~``, umlauts, brackets and ``=`` in a value without quotes, and takes a number for a number
where a name is meant. What it cannot read is a text here, and the settings that hold a path are paths.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import WHOLE, choose, nearest, refuse_unknown

PATHS = (
    "data.path", "data.valid_path", "data.test_path", "data.split_file", "data.root", "data.cache_dir", "frames", "run",
    "runs", "beside", "committee", "resume", "init_from", "structure", "file", "model", "path", "output", "output_dir",
    "hydra.sweep.dir", "peers.mace", "peers.nequip",
)  # fmt: skip
"""Settings that hold a path, or a list of paths, in any of the commands."""
REFUSED = {
    "hydra.run.dir": "the run directory is output_dir=; it is made when the settings are sound",
    "hydra.job.chdir": "paths are relative to the folder in which the command is started",
    "hydra.output_subdir": "the settings of a run are in its config.yaml",
    "hydra.sweep.subdir": "a job is found again by the name of its folder; only hydra.sweep.dir can be chosen",
    "given_paths": "config.yaml says there what was typed as data.path",
    "earlier_max_epochs": "config.yaml says there how a run was continued",
}
"""Settings that would be ignored or break a run, and what to use in their place or why."""
SCRIPTS = ("train.py", "evaluate.py", "benchmark.py", "report.py", "import.py", "export.py", "predict.py")
_ADDED_BY_LIGHTNING = ("hydra.run.dir=", "hydra.job.name=", "hydra.output_subdir=")
_MULTIRUN = ("-m", "--multirun", "hydra.mode=MULTIRUN")
_ASK = ("--cfg", "-c", "--info", "-i")  # print something in place of a job
_TAKE_A_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p")


def as_meant(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command, each in a form that Hydra reads as it was meant.

    A path is what was typed, with the home folder for ``~``; another value that the grammar does not know is a text.
    ``-m`` comes first: between two settings Hydra takes no option.
    """
    if any(text.startswith("hydra.job.name=train_ddp_process_") for text in arguments):
        # a process that Lightning has started: it ends the command with settings of Hydra's, which have no effect here
        arguments = [text for text in arguments if not text.startswith(_ADDED_BY_LIGHTNING)]
    multirun = _starts_sweep(arguments)
    arguments = sorted(arguments, key=lambda text: text not in _MULTIRUN[:2])
    return [
        text if text.startswith("-") or last in _TAKE_A_VALUE else _as_meant(text, multirun)
        for last, text in pairwise(["", *arguments])
    ]


def with_mode(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``-m`` where an experiment starts a sweep.

    Hydra would look for that in the composed settings, and where one of them is wrong it would take the sweep for a
    single job and complain of its lists.
    """
    names = [text.partition("=")[0] for text in arguments]
    said = any(name in (*_MULTIRUN, *_ASK, "hydra.mode") for name in names)
    return list(arguments) if said or not _starts_sweep(arguments) else ["-m", *arguments]


def setting(key: str, value: str | Path) -> str:
    """``key=value`` so that it can be pasted into a shell after the name of a command."""
    plain = f"{key}={value}"
    parsed = _parsed(_as_meant(plain, multirun=True))
    same = parsed is not None and not parsed.is_sweep_override() and parsed.value() == str(value)
    return shlex.quote(plain if same else f"{key}={_quoted(str(value))}")


def next_command(program: str, key: str, value: str | Path) -> str:
    """The command that goes on from here with one setting, to be pasted into a shell.

    program: train, evaluate, report, benchmark, export or predict, in the form in which this one was called.
    """
    this = Path(sys.argv[0])
    if this.name.startswith("scalarpath-"):
        return f"scalarpath-{program} {setting(key, value)}"
    script = f"{program}.py"
    return (
        f"python {shlex.quote(str(this.with_name(script)) if this.name in SCRIPTS else script)} {setting(key, value)}"
    )


def check_overrides(config_name: str, arguments: Sequence[str]) -> list[str]:
    """The arguments without those that change nothing (``experiment=null``); before Hydra composes anything.

    Raises ConfigError for an unknown option of a group, for several or none where one is meant, and for settings of
    Hydra that would be ignored.
    """
    multirun = _starts_sweep(arguments)
    if any(text in _MULTIRUN for text in arguments) and any(text.partition("=")[0] in _ASK for text in arguments):
        raise ConfigError("-m starts jobs and --cfg or --info print settings; take one of them.")
    groups, roots, kept = _groups(config_name), _roots(arguments), []
    for text in arguments:
        parsed = None if text.startswith("-") else _parsed(text)
        key = "" if parsed is None else parsed.key_or_group
        if parsed is not None and not key:
            raise ConfigError(f"{text} names no setting; settings are key=value.")
        for name in (key, key.partition(".")[0]):
            if name in REFUSED:
                raise ConfigError(f"{name} cannot be set: {REFUSED[name]}.")
        if key in ("output_dir", "resume") and multirun and config_name == "train":
            raise ConfigError(f"{key} cannot be set for a sweep (-m): its directory is hydra.sweep.dir.")
        if key == "hydra.sweep.dir" and not multirun:
            raise ConfigError("hydra.sweep.dir belongs to a sweep (-m); the directory of a single run is output_dir=.")
        if parsed is not None and parsed.is_sweep_override() and not multirun:
            raise ConfigError(f"{text}: several values are jobs of a sweep, which -m starts; a list is in brackets [].")
        if parsed is not None and key in groups and not parsed.is_delete():
            chosen = _options(parsed)
            if chosen == [None] and groups[key] is None:
                continue
            _check_options(text, key, chosen, roots)
        kept.append(text)
    return kept


def _starts_sweep(arguments: Sequence[str]) -> bool:
    """Whether the command starts a sweep: by ``-m``, or by an experiment whose file says so."""
    if any(text in _MULTIRUN for text in arguments):
        return True
    files = [
        root / group / f"{option}.yaml"
        for group, equals, option in (text.partition("=") for text in arguments)
        for root in _roots(arguments)
        if equals and "/" not in option
    ]
    return any(_says_sweep(file) for file in files if file.is_file())


def _says_sweep(file: Path) -> bool:
    try:
        content = OmegaConf.load(file)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return False  # Hydra says what is wrong with it
    return isinstance(content, DictConfig) and OmegaConf.select(content, "hydra.mode") == "MULTIRUN"


def _roots(arguments: Sequence[str]) -> list[Path]:
    """The folders with configurations: the package's and the user's."""
    roots = [CONF_DIR]
    for last, text in pairwise(["", *arguments]):
        if last in ("--config-dir", "-cd"):
            roots.append(Path(text))
        if text.startswith("--config-dir="):
            roots.append(Path(text.partition("=")[2]))
    return roots


def explained(error: Exception, config_name: str, arguments: Sequence[str]) -> ConfigError:
    """What Hydra or OmegaConf says about the settings, in one sentence with the nearest name."""
    text = str(error)
    if found := re.match(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], config_name, arguments)
    if found := re.match(r"Multiple values for (\S+)\.", text):
        return ConfigError(f"{found[1]} has an option already; write {found[1]}=<option> once, without +.")
    if found := re.match(r"In '.*': Could not find '(.*)/(.*)'", text):
        names = re.findall(r"^\t(.*)$", text.partition("Config search path")[0], re.MULTILINE)
        return ConfigError(f"{found[1]}={found[2]} is unknown{nearest(found[2], names)}; use {', '.join(names)}.")
    unreadable = [each for each in arguments if not each.startswith("-") and "=" in each and _parsed(each) is None]
    if unreadable:
        return ConfigError(
            f"{unreadable[0]}: the value cannot be read; put texts with special letters in quotes, and all in others, "
            """such as "key={a:'größe'}"."""
        )
    if "missing EQUAL" in text:
        return ConfigError(f"{text.split(chr(39))[1]} is no setting; settings are key=value.")
    return ConfigError(" ".join(text.partition("Config search path")[0].split()).rstrip(".") + ".")


def _as_meant(text: str, multirun: bool) -> str:
    found = re.fullmatch(r"(\+{0,2}([\w./@:-]+))=(.*)", text, re.DOTALL)
    if not found:
        return text
    key, name, value = found.groups()
    parsed = _parsed(text)
    # resume is the directory of a run, and in benchmark.py whether to keep results
    is_switch = name == "resume" and value in ("true", "false") and not Path(value).exists()
    if name not in PATHS or is_switch:
        is_text = parsed is None and not value.startswith(("[", "{"))
        return f"{key}={_quoted(value)}" if is_text else text
    # a sweep has one directory
    return f"{key}={_path_as_meant(value, parsed, multirun and name != 'hydra.sweep.dir')}"


def _path_as_meant(value: str, parsed: Override | None, multirun: bool) -> str:
    there = value not in ("", "null") and Path(value).expanduser().exists()
    if not there and parsed is not None:
        if multirun and parsed.is_sweep_override():
            return value
        content = None if parsed.is_sweep_override() else parsed.value()
        if isinstance(parsed._value, QuotedString):
            return _quoted(os.path.expanduser(parsed._value.text))
        if value in ("", "null") or isinstance(content, list | dict) or content == value or "${" in value:
            return value
    if not there and value.startswith("[") and value.endswith("]"):
        return f"[{','.join(_one_path(item) for item in value[1:-1].split(','))}]"
    if not there and multirun and "," in value:
        return ",".join(_one_path(item) for item in value.split(","))
    return _one_path(value)


def _one_path(value: str) -> str:
    """A path as Hydra reads it: quoted only where it has to be."""
    path = os.path.expanduser(value)
    parsed = _parsed(f"path={path}")
    same = parsed is not None and not parsed.is_sweep_override() and parsed.value() == path
    return path if same else _quoted(path)


def _quoted(value: str) -> str:
    return QuotedString(text=value, quote=Quote.single).with_quotes()


def _parsed(text: str) -> Override | None:
    """The setting as Hydra reads it; None where it cannot be read."""
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def _groups(config_name: str) -> dict[str, Any]:
    """The groups that a command knows, with the option that it takes by itself."""
    content: Any = OmegaConf.to_container(OmegaConf.load(CONF_DIR / f"{config_name}.yaml"))
    entries = (entry for entry in content["defaults"] if isinstance(entry, dict))
    return {key: value for entry in entries for key, value in entry.items() if not key.startswith("override ")}


def _options(override: Override) -> list[Any]:
    """What a setting chooses for its group: several in a sweep; nothing where a pattern does."""
    if not override.is_sweep_override():
        return [override.value()]
    values = override._value.list if override.is_choice_sweep() else []  # type: ignore[union-attr]
    return [value.text if isinstance(value, QuotedString) else value for value in values]


def _check_options(text: str, group: str, chosen: Sequence[Any], roots: Sequence[Path]) -> None:
    """Raise ConfigError for a list, which Hydra would merge into one without a name, and for an unknown option."""
    known = sorted({path.stem for root in roots for path in (root / group).glob("*.yaml")})
    for option in chosen:
        if isinstance(option, list):
            names = text.partition("=")[2].strip("[]").replace(" ", "")
            raise ConfigError(f"{text}: one option is meant, not a list; for a job with each: -m {group}={names}.")
        if not isinstance(option, dict):
            choose(option, known, group)


def _unknown_key(key: str, config_name: str, arguments: Sequence[str]) -> ConfigError:
    section: Any = _without_unknown(config_name, arguments)
    parts = key.split(".")
    own = (name for name in _leaves(section) if not name.startswith("hydra."))
    elsewhere = [name for name in own if name.rpartition(".")[2] == parts[-1]]
    for depth, part in enumerate(parts):
        if isinstance(section, DictConfig) and part in section:
            section = section[part]
            continue
        where = ".".join(parts[:depth]) or WHOLE
        if not isinstance(section, DictConfig):
            return ConfigError(f"{where} is no group of settings, so {key} is none either.")
        names = [str(name) for name in section if name != "hydra"]
        if len(elsewhere) == 1 and not nearest(part, names):
            return ConfigError(f"{where} has no setting '{part}' (did you mean '{elsewhere[0]}'?).")
        try:
            refuse_unknown({part: None}, names, where)
        except ConfigError as error:
            return error
    return ConfigError(f"{key} is a group with options; add it with +{key}=<option>.")


def _without_unknown(config_name: str, arguments: Sequence[str]) -> DictConfig:
    """The configuration with nothing but the options of groups from the command line."""
    groups = [
        text for text in arguments if (CONF_DIR / text.partition("=")[0].lstrip("+")).is_dir() and "," not in text
    ]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        try:
            return compose(config_name, overrides=groups, return_hydra_config=True)
        except HydraException:
            return compose(config_name, return_hydra_config=True)


def _leaves(section: Any, prefix: str = "") -> list[str]:
    if not isinstance(section, DictConfig):
        return [prefix.rstrip(".")]
    return [name for key in section for name in _leaves(section._get_node(key), f"{prefix}{key!s}.")]
