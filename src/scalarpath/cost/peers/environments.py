"""The pythons in whose environments the peers live: given by the user, never guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from scalarpath.core.errors import ConfigError
from scalarpath.core.interpreters import last_line, run_python

# setting of each kind of model and the package that has it
SETTING = {"mace": "mace", "nequip": "nequip", "allegro": "nequip"}
PACKAGE = {"mace": "mace-torch", "nequip": "nequip", "allegro": "nequip-allegro"}
VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""
PROBED = ("torch", "e3nn", "numpy", *PACKAGE.values())


@dataclass(frozen=True)
class Environment:
    """A python executable and the versions of the packages in its environment."""

    python: str
    versions: Mapping[str, str]


def environments(pythons: Mapping[str, str | None]) -> tuple[dict[str, Environment], list[str]]:
    """Environment of every kind of model that can run, and one line for every kind that is left out.

    ``pythons``: executables by setting (mace, nequip). Raises ConfigError for an executable that does not run, and for
    an environment without the package it is given for.
    """
    probed = {setting: probe(setting, python) for setting, python in pythons.items() if python}
    found, left_out = {}, []
    for kind, setting in SETTING.items():
        if setting not in probed:
            left_out.append(f"{kind} is left out: peers.{setting} is not given.")
        elif PACKAGE[kind] in probed[setting].versions:
            found[kind] = probed[setting]
        elif kind != setting:  # nequip without allegro is a whole environment
            left_out.append(f"{kind} is left out: peers.{setting} has no {PACKAGE[kind]}.")
        else:
            raise ConfigError(
                f"peers.{setting} = {pythons[setting]} has no {PACKAGE[kind]}; install it there: {pythons[setting]} -m "
                f"pip install {PACKAGE[kind]}."
            )
    return found, left_out


def probe(setting: str, python: str) -> Environment:
    """Environment of an executable; raises ConfigError when it does not run."""
    result = run_python(f"peers.{setting}", python, PACKAGE[setting], "-c", VERSIONS, *PROBED)
    try:
        return Environment(result.args[0], json.loads(result.stdout))
    except ValueError:
        raise ConfigError(f"peers.{setting} = {python} is no working python ({last_line(result)}).") from None
