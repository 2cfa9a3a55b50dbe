"""A command under a clock: the wall and processor time that had passed when its log held one epoch more."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from scalarpath.core.errors import UpstreamError
from scalarpath.core.interpreters import clean
from scalarpath.cost.peers.worker import SOURCES

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_END = 10.0


class Times(NamedTuple):
    """Seconds since the start of a process; processor time counts all its threads and children that have ended."""

    wall_s: float
    cpu_s: float


class Watched(NamedTuple):
    """The times of a whole command and, one after the other, of the epochs in its log."""

    total: Times
    epochs: list[Times]


def watched(name: str, command: Sequence[str], folder: Path, output: Path, epochs: Callable[[], int]) -> Watched:
    """Run ``command`` in ``folder`` with one thread and its output in the file ``output``.

    ``epochs`` tells how many epochs the log holds by now. The process is looked at ten times a second, so that is how
    late a time can be. Raises UpstreamError when it fails. Only one may run at a time: the processor time of the whole
    command is what all children of this process took meanwhile.
    """
    start, before = time.perf_counter(), _children()
    seen: list[Times] = []
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=_environment(command), stdout=file, stderr=file)
        try:
            while process.poll() is None:
                count = epochs()  # before the clock is read: a time can be late, but not early
                with contextlib.suppress(psutil.Error):  # it has ended, and what is left has the time of the whole
                    now = Times(time.perf_counter() - start, _processor_time(process.pid))
                    seen += [now] * (count - len(seen))
                time.sleep(SECONDS_BETWEEN_LOOKS)
        except BaseException:
            process.terminate()
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
    total = Times(time.perf_counter() - start, _children() - before)
    if process.returncode:
        raise UpstreamError(f"{name} ended with status {process.returncode} ({_last_line(output)}); see {output}.")
    seen += [total] * (epochs() - len(seen))
    return Watched(total, seen)


def run_tool(name: str, command: Sequence[str], folder: Path, output: Path) -> None:
    """Run ``command`` as ``watched`` does, without a clock."""
    watched(name, command, folder, output, lambda: 0)


def _environment(command: Sequence[str]) -> dict[str, str]:
    """One thread, no GPU, nothing to the network; our own sources for our own python only."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    fixed = {"OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": "", "WANDB_MODE": "offline"}
    own = {"PYTHONPATH": os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")]).rstrip(":")}
    return clean() | threads | fixed | (own if command[0] == sys.executable else {})


def _processor_time(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _last_line(output: Path) -> str:
    lines = output.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing"
