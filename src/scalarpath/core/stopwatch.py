"""Where the time of this process goes, part by part; measured only when the environment names a file for it.

A program is a row of phases (``phase("data")``). Within one, parts may run and hold other parts (``start``, ``stop``):
each moment counts once, for the innermost. Times of the processor do not grow when other programs are running.
"""

from __future__ import annotations

import atexit
import os
import time
from pathlib import Path

from scalarpath.core.files import write_json

TIMES = "SCALARPATH_TIMES"  # environment: the file that gets {"part": [CPU seconds, seconds, times that it ran]}
FIRST = "python, hydra"


class Stopwatch:
    """CPU seconds, seconds and number of runs of every part of this process, from its start."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}
        self._running = [FIRST]
        self._since = [0.0, time.perf_counter() - _age()]

    def phase(self, name: str) -> None:
        """End what is running, and begin another phase."""
        self._settle()
        self._running = [name]

    def start(self, name: str) -> None:
        """Begin a part of what is running."""
        self._settle(ends=False)
        self._running.append(name)

    def stop(self, name: str) -> None:
        """End a part; parts end in the reverse of their order."""
        self._settle()
        if len(self._running) > 1:  # else an exception has ended the phase first
            self._running.pop()

    def write(self, file: Path) -> None:
        """Write what was measured until now."""
        self._settle()
        write_json(file, self.parts)

    def _settle(self, *, ends: bool = True) -> None:
        now = [time.process_time(), time.perf_counter()]
        part = self.parts.setdefault(self._running[-1], [0.0, 0.0, 0])
        for k, (end, begin) in enumerate(zip(now, self._since, strict=True)):
            part[k] += end - begin
        part[2] += ends
        self._since = now


def _age() -> float:
    """Seconds since this process was started; as good as zero where the system does not tell."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0


def _of_environment() -> Stopwatch | None:
    if TIMES not in os.environ:
        return None
    watch = Stopwatch()
    file = Path(os.environ.pop(TIMES))  # of this process, not of those that it starts
    atexit.register(lambda: watch.write(file))
    return watch


WATCH = _of_environment()


def phase(name: str) -> None:
    """Begin another phase of this process, if it is measured."""
    if WATCH is not None:
        WATCH.phase(name)
