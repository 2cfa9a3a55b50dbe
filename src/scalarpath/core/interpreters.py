"""Pythons of other environments, which hold packages that must not come into ours."""

from __future__ import annotations

import os
import shutil

from scalarpath.core.errors import ConfigError


def executable(setting: str, python: str, package: str) -> str:
    """The path of ``python``, which ``setting`` names; raises ConfigError where it is no executable file."""
    path = shutil.which(os.path.expanduser(python))
    if path is None:
        raise ConfigError(
            f"{setting} = {python} is no executable file; give the python of an environment with {package}."
        )
    # not resolved: a virtual environment is known by the link to its python
    return os.path.abspath(path)


def clean() -> dict[str, str]:
    """Our environment variables without those that bend another python's imports."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
