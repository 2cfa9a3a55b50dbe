"""What can be said of the Dockerfile without docker: files, versions, commands."""

from __future__ import annotations

import fnmatch
import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from composed_jobs import job
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line
]
COPIED = [source for word, rest in LINES if word == "COPY" for source in rest.split()[:-1]]
COMMANDS = re.findall(r"^#   (docker .*)$", TEXT, re.MULTILINE)


def test_what_is_copied_is_there_and_is_sent_to_the_build() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    for name in COPIED:
        assert (ROOT / name).exists(), name
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in ignored), name


def test_all_that_the_wheel_is_made_of_is_copied() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [
        PROJECT["project"]["readme"],
        *wheel["force-include"],
        *(path.split("/")[0] for path in wheel["packages"]),
    ]
    assert {*needed, "pyproject.toml", "constraints.txt", "LICENSE"} <= set(COPIED)
    install = next(k for k, (word, rest) in enumerate(LINES) if word == "RUN" and rest.endswith("> /dev/null"))
    assert max(k for k, (word, _) in enumerate(LINES) if word == "COPY") < install


def test_one_version_of_torch_is_pinned_and_the_project_takes_it() -> None:
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    (wanted,) = (r for r in map(Requirement, PROJECT["project"]["dependencies"]) if r.name == "torch")
    assert wanted.specifier.contains(pinned)


def test_the_entry_point_is_a_command_of_the_project() -> None:
    (entry,) = (rest for word, rest in LINES if word == "ENTRYPOINT")
    (command,) = json.loads(entry)
    named = {command, *re.findall(r"scalarpath-(?!cpu|cache)\w+", TEXT)}
    for name in named:
        module, _, function = PROJECT["project"]["scripts"][name].partition(":")
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_its_comments_fit_it(command: str) -> None:
    words = shlex.split(command)
    known = {rest.partition("=")[0] for word, rest in LINES if word == "ARG"}
    given = [words[k + 1].partition("=")[0] for k, word in enumerate(words) if word == "--build-arg"]
    assert set(given) <= known
    if words[1] == "run":
        job(*(word for word in words if re.fullmatch(r"\w+=\w+", word)))
