"""Jobs of a sweep from one process that has imported everything and forks for each: the imports are made once.

A forked job is a process of its own, with its own settings of torch and its own death, and shares with the others only
the memory of what was imported. Nothing has been computed before the fork, so no thread and no device is lost in it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SERVE = "--serve"  # python -m scalarpath.cli --serve PROGRAM DESCRIPTOR


class Order(NamedTuple):
    """One job: the file of its settings, its log, and whether all that it prints goes there."""

    config_file: str
    log: str
    quiet: bool


class JobServer:
    """The server of one environment, from the side of the sweep: started with the first job, gone with the sweep.

    command: what calls ``next_job`` with the number that is added to it.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.command, self.environment = list(command), dict(environment)
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [*command, str(writing)], env=self.environment, stdin=subprocess.PIPE, pass_fds=[writing]
        )
        os.close(writing)
        # without a buffer, in which the status of a job that ends at once would hide from select
        self.answers = os.fdopen(reading, "rb", buffering=0)

    def fits(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether the server is there, and its jobs would be those of this command and environment."""
        same = (self.command, self.environment) == (list(command), dict(environment))
        return same and not self.answers.closed and self.process.poll() is None

    def close(self) -> int:
        """End the server, and with it a job that still runs; returns its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.answers.close()
        return self.process.wait()


class ForkedJob:
    """A job that the server runs, with those methods of ``subprocess.Popen`` that a sweep needs."""

    def __init__(self, server: JobServer, order: Order) -> None:
        self.server = server
        stdin = server.process.stdin
        assert stdin is not None
        stdin.write(f"{json.dumps(order)}\n".encode())
        stdin.flush()
        self.pid = int(server.answers.readline() or 0)  # 0: the server has ended

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, negative after a signal; raises TimeoutExpired."""
        if not select.select([self.server.answers], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        answer = self.server.answers.readline()
        return int(answer) if answer else self.server.close()

    def send_signal(self, number: int) -> None:
        """Send a signal to the process of the job."""
        if self.pid:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process of the job."""
        self.send_signal(signal.SIGKILL)


def next_job(answers: int) -> str:
    """In the server: wait for orders and fork; returns, in each forked process, the file of the settings of its job.

    Ends when the sweep does: then nobody holds the other end of the standard input any more. A job reads that too, see
    ``processes.end_with_parent``; the server leaves it alone meanwhile.
    """
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the jobs by itself
    while text := os.read(0, select.PIPE_BUF):
        order = Order(*json.loads(text))
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            signal.signal(signal.SIGINT, interrupt)
            with Path(order.log).open("a") as file:
                for stream in (sys.stdout, sys.stderr) if order.quiet else (sys.stderr,):
                    stream.flush()
                    os.dup2(file.fileno(), stream.fileno())
            return order.config_file
        os.write(answers, f"{pid}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(answers, f"{status}\n".encode())
    sys.exit(0)
