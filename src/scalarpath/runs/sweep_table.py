"""The table that ends a sweep: what became of every job, and how to go on."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scalarpath.core.overrides import setting

STYLES = {"finished": "green", "resumed": "green", "skipped": "dim", "failed": "red", "cut off": "red"}
IN_NAME = ("data", "backbone", "head", "seed")  # settings that the name of a job tells
PROBLEMS = ("failed", "cut off")


def print_sweep(records: Path, arguments: Sequence[str] = tuple(sys.argv)) -> bool:
    """Show the jobs whose records lie in the folder ``records``; returns whether all of them are done.

    ``arguments`` are those of the command line that ran the sweep.
    """
    jobs = {file: json.loads(file.read_text()) for file in sorted(records.glob("*.json"), key=lambda f: int(f.stem))}
    for job in jobs.values():
        # a job that has ended without a word was killed together with its sweep or its machine
        job["state"] = "cut off" if job["state"] == "running" else job["state"]
    if not jobs:
        return False
    sweep = _shown(records.parents[1])
    console = Console()
    console.print(_table(list(jobs.values()), sweep))
    for file, job in jobs.items():
        log = file.with_suffix(".log")
        if job["state"] in PROBLEMS:
            lines = [_shown(Path(job["directory"])), job.get("message", "interrupted, or gone without a message")]
            lines += [f"log: {_shown(log)}"] if log.exists() else []
            console.print("\n  ".join(lines), markup=False, highlight=False, soft_wrap=True)
    done = not any(job["state"] in PROBLEMS for job in jobs.values())
    verb = "Add jobs with" if done else "Go on with"
    console.print(f"{verb}: {_again(arguments, sweep)}", markup=False, highlight=False, soft_wrap=True)
    return done


def _table(jobs: Sequence[dict[str, Any]], sweep: str) -> Table:
    states = [job["state"] for job in jobs]
    monitors = dict.fromkeys(job["monitor"] for job in jobs if "monitor" in job)
    counts = ", ".join(f"{states.count(state)} {state}" for state in STYLES if state in states)
    others = [_other_settings(job, jobs) for job in jobs]
    table = Table(title=f"{sweep}: {counts}")
    table.add_column("job", no_wrap=True)
    if any(others):
        table.add_column("other settings", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column(f"best {', '.join(monitors)}", justify="right")
    table.add_column("minutes", justify="right")
    for job, other in zip(jobs, others, strict=True):
        value = f"{job['value']:.4g}" if "value" in job else ""
        name, state = Path(job["directory"]).name, job["state"]
        settings = [other] if any(others) else []
        table.add_row(name, *settings, state, value, f"{job['minutes']:.1f}", style=STYLES[state])
    return table


def _other_settings(job: dict[str, Any], jobs: Sequence[dict[str, Any]]) -> str:
    """What the job does not share with all others, beyond what its name tells."""
    own = [text for text in job["overrides"] if not all(text in other["overrides"] for other in jobs)]
    return " ".join(text for text in own if text.split("=")[0] not in IN_NAME)


def _shown(path: Path) -> str:
    """As short as it can be given on a command line here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _again(arguments: Sequence[str], sweep: str) -> str:
    """The command line with the directory of the sweep, in which finished jobs are found."""
    program = ["python", arguments[0]] if arguments[0].endswith(".py") else [Path(arguments[0]).name]
    others = [text for text in arguments[1:] if not text.startswith("hydra.sweep.dir=")]
    return f"{shlex.join([*program, *others])} {setting('hydra.sweep.dir', sweep)}"
