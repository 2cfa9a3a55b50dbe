"""Rows of the result, each measured in a process that may end, fail or hang without harm to the others.

A row is a dictionary: ``part``, ``backbone``, ``head``, ``mode``, then what was measured, or ``reason``: why not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from scalarpath.core.memory import prepare_heap

Row = dict[str, Any]
NAMES = ("part", "backbone", "head", "mode")
TIME_IS_UP = "the time is up (gpu.minutes)"


@dataclass(frozen=True)
class Task:
    """Rows ``planned`` (with NAMES each, or some of them), which ``measure(*arguments)`` yields."""

    measure: Callable[..., Iterator[Row]]
    arguments: tuple[Any, ...]
    planned: Sequence[Row] = field(default_factory=list)


def measured(task: Task, deadline: float) -> Iterator[Row]:
    """The rows of a task, as they come, from a process of its own; ``deadline``: of ``time.monotonic``.

    A planned row that does not come, because the process dies or the time is up, has a reason.
    """
    left = list(task.planned)
    for row in _until(task, deadline):
        if "part" in row:
            left = [planned for planned in left if any(row.get(key) != planned[key] for key in planned)]
            yield row
        else:
            yield from ({**planned, **row} for planned in left)
            left = []


def reason(error: BaseException) -> Row:
    """What a row says in place of a measurement."""
    text = str(error).strip().splitlines() or [""]
    return {"reason": f"{type(error).__name__}: {text[0]}"}


def _until(task: Task, deadline: float) -> Iterator[Row]:
    """What the process sends, and at the end the reason for all that has not come."""
    if time.monotonic() >= deadline:
        yield {"reason": TIME_IS_UP}
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, task.measure, task.arguments))
    process.start()
    theirs.close()  # so that reading ends with the process
    try:
        while ours.poll(max(0.0, deadline - time.monotonic())):
            yield ours.recv()
    except EOFError:
        process.join()
        ended = "was ended early" if process.exitcode == 0 else f"ended with status {process.exitcode}"
        yield {"reason": f"its process {ended}"}
    else:
        yield {"reason": TIME_IS_UP}
    finally:
        if process.is_alive() and process.pid:
            with suppress(ProcessLookupError):  # where it leads no group yet
                os.killpg(process.pid, signal.SIGKILL)  # with the trainings and peers that it has started
            process.kill()
        process.join()


def _send(pipe: Connection, measure: Callable[..., Iterator[Row]], arguments: tuple[Any, ...]) -> None:
    os.setsid()  # the leader of all that it starts
    prepare_heap()
    try:
        for row in measure(*arguments):
            pipe.send(row)
    except Exception as error:
        pipe.send(reason(error))
