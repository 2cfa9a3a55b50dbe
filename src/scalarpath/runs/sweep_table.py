"""What a sweep shows: a line when a job begins or ends, and at its end what became of every job, and how to go on."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from scalarpath.core.metrics import PARTS, TEST, judged_part, metric_name
from scalarpath.core.overrides import setting
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.terminal import add_columns, open_console

STYLES = {
    "finished": "green", "resumed": "green", "skipped": "dim", "failed": "red", "interrupted": "red", "cut off": "red",
    "elsewhere": "yellow",
}  # fmt: skip
IN_NAME = ("data", "backbone", "head", "seed")  # settings that the name of a job tells
PROBLEMS = ("failed", "interrupted", "cut off", "elsewhere")


def judged_errors(summary: Mapping[str, Any]) -> dict[str, Any]:
    """``errors``: test MAEs by property in the shown units, from summary.json; a property without labels is absent.

    ``part``: of what data they are; validation, where the test part was left closed.
    """
    part = judged_part(summary)
    keys = {name: f"{PARTS[part]}/{metric_name(name)}" for name in QUANTITIES}
    return {"part": part, "errors": {name: summary[key] for name, key in keys.items() if key in summary}}


def print_progress(record: Path, total: int) -> None:
    """Say how the job with the record ``record``, one of ``total``, has ended."""
    job = json.loads(record.read_text())
    name = Path(job["directory"]).name
    others = [json.loads(file.read_text()) for file in record.parent.glob("*.json")]
    done = sum(other["state"] != "running" for other in others)
    errors = ", ".join(QUANTITIES[prop].shown(value) for prop, value in job.get("errors", {}).items())
    print(f"{done} of {max(total, len(others))}: {name} {job['state']}, {job.get('message') or errors}", flush=True)


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
    console = open_console()
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
    parts = dict.fromkeys(job["part"] for job in jobs if "part" in job)
    labelled = [quantity for name, quantity in QUANTITIES.items() if any(name in job.get("errors", {}) for job in jobs)]
    table = Table(title=f"{sweep}: {counts}", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.title_justify = "left"
    words = ("job", *(("other settings",) if any(others) else ()))
    add_columns(table, *words, words=words)
    table.add_column("state", no_wrap=True)
    if len(parts) > 1:
        table.add_column("errors on", no_wrap=True)
    for quantity in labelled:
        table.add_column(f"{quantity.name}\n{quantity.shown_unit}", justify="right", no_wrap=True)
    add_columns(table, f"best\n{', '.join(monitors)}")
    table.add_column("min", justify="right", no_wrap=True)
    for job, other in zip(jobs, others, strict=True):
        value = f"{job['value']:.4g}" if "value" in job else ""
        name, state = Path(job["directory"]).name, job["state"]
        known = job.get("errors", {})
        errors = [f"{known[quantity.name]:.4g}" if quantity.name in known else "" for quantity in labelled]
        settings = [other] if any(others) else []
        on = [job.get("part", "")] if len(parts) > 1 else []
        row = [name, *settings, state, *on, *errors, value, f"{job['minutes']:.1f}"]
        table.add_row(*map(escape, row), style=STYLES[state])
    if names := ", ".join(quantity.name for quantity in labelled):
        closed = "" if TEST in parts else "; the test part is closed (evaluate_test=false)"
        table.caption, table.caption_justify = f"{names}: MAE on the {' or '.join(parts)} set{closed}", "left"
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
