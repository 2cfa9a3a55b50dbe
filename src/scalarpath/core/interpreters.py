"""Pythons of other environments, which hold packages that must not come into ours."""

from __future__ import annotations

import os
import shutil
import subprocess

from scalarpath.core.errors import ConfigError


def run_python(setting: str, python: str, package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``python``, which ``setting`` names and whose environment has ``package``, makes of these arguments.

    ``args[0]`` of the result is its absolute path. Raises ConfigError where it is no program.
    """
    path = shutil.which(os.path.expanduser(python))
    if path is None:
        raise ConfigError(
            f"{setting} = {python} is no executable file; give the python of an environment with {package}."
        )
    # not resolved: a virtual environment is known by the link to its python
    command = [os.path.abspath(path), *arguments]
    try:
        return subprocess.run(command, env=clean(), capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise ConfigError(f"{setting} = {python} is no working python ({error.strerror}).") from error


def how_to_get(package: str) -> str:
    """What to do for a setting ``python`` that names an environment with ``package``."""
    return (
        f"make an environment for it (python -m venv PEER && PEER/bin/pip install {package}) and set "
        "python=PEER/bin/python."
    )


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    """The last line of the errors that a program has written, or that it wrote nothing."""
    return (result.stderr.strip().splitlines() or ["it wrote nothing"])[-1]


def clean() -> dict[str, str]:
    """Our environment variables without those that bend another python's imports."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
