"""A process of a peer, or of our own, that runs steps on request."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from scalarpath.core.errors import UpstreamError
from scalarpath.core.interpreters import clean

SCRIPTS = Path(__file__).parent / "workers"
SOURCES = Path(__file__).parents[3]
SECONDS_TO_END = 30.0
# Freed arrays stay with the process (glibc), else the pages that every step asks for again are a good part of the time,
# and a different one from process to process.
KEEP_FREED_MEMORY = {f"MALLOC_{name}_THRESHOLD_": str(2**31 - 1) for name in ("MMAP", "TRIM")}


class Worker:
    """A worker process as a context manager: one JSON line out per request, one back."""

    def __init__(self, name: str, python: str, script: Path, threads: int, keep_freed_memory: bool = False):
        """``name``: in errors; ``script``: see ``workers/step_server.py`` for what it answers."""
        variables = clean()
        if keep_freed_memory:
            variables |= KEEP_FREED_MEMORY
        variables |= {key: str(threads) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if python == sys.executable:
            variables["PYTHONPATH"] = os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")]).rstrip(":")
        self.name = name
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the worker
        ours, theirs = os.pipe()
        self._process = subprocess.Popen(
            [python, str(script), str(theirs)], env=variables, pass_fds=[theirs],
            stdin=subprocess.PIPE, stdout=self._output, stderr=self._output,
        )  # fmt: skip
        os.close(theirs)  # so that reading ends with the worker
        self._replies = os.fdopen(ours)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The reply to a request; raises UpstreamError with the worker's last line when it has ended."""
        requests = cast(IO[bytes], self._process.stdin)
        try:
            requests.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            requests.flush()
            line = self._replies.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._process.wait()
            raise UpstreamError(f"the worker of {self.name} ended at '{command}': {self._last_line()}")
        return json.loads(line)

    def close(self) -> None:
        """End the process: it stops when its input ends."""
        with contextlib.suppress(BrokenPipeError):
            cast(IO[bytes], self._process.stdin).close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._replies.close()
        self._output.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _last_line(self) -> str:
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"
