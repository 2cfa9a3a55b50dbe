"""Jobs of a sweep that are forked from one process: each with its own status, log and death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalarpath.runs import processes
from scalarpath.runs.job_server import ForkedJob, JobServer, Order

# in place of scalarpath.cli: what the jobs share, and a job whose settings are a program
PROGRAM = """
import os, sys
from scalarpath.runs.job_server import next_job
shared = os.getpid()
file = next_job(int(sys.argv[1]))
exec(open(file).read())
"""


@pytest.fixture
def server() -> Iterator[JobServer]:
    paths = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    server = JobServer([sys.executable, "-c", PROGRAM], paths)
    yield server
    if not server.answers.closed:
        assert server.close() == 0


def start(server: JobServer, folder: Path, program: str, *, quiet: bool = True) -> ForkedJob:
    (folder / "job").write_text(program)
    return ForkedJob(server, Order(str(folder / "job"), str(folder / "log"), quiet))


def test_every_job_is_a_process_with_a_status_of_its_own(server: JobServer, tmp_path: Path) -> None:
    programs = {"print(shared, os.getpid())": 0, "sys.exit(2)": 2, "1 / 0": 1, "os.kill(os.getpid(), 9)": -9}
    assert [start(server, tmp_path, program).wait() for program in programs] == list(programs.values())
    log = (tmp_path / "log").read_text()
    shared, own = map(int, log.splitlines()[0].split())
    assert shared == server.process.pid
    assert own != shared
    assert "ZeroDivisionError" in log


def test_a_job_that_has_ended_before_its_number_is_read_is_not_waited_for() -> None:
    both_at_once = "import os, sys; os.read(0, 999); os.write(int(sys.argv[1]), b'7\\n3\\n'); os.read(0, 999)"
    server = JobServer([sys.executable, "-c", both_at_once], {})
    job = ForkedJob(server, Order("", "", True))
    assert (job.pid, job.wait(20)) == (7, 3)
    assert server.close() == 0


def test_a_signal_reaches_the_job_and_not_the_server(server: JobServer, tmp_path: Path) -> None:
    sleeper = start(server, tmp_path, "import time; print('on', flush=True); time.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(0.1)
    os.kill(server.process.pid, signal.SIGINT)  # Ctrl-C at a terminal is for all
    sleeper.send_signal(signal.SIGTERM)
    assert sleeper.wait(20) == -signal.SIGTERM
    interrupted = start(server, tmp_path, "import signal; signal.raise_signal(signal.SIGINT)")
    assert interrupted.wait(20) in (1, 130, -signal.SIGINT)
    assert start(server, tmp_path, "").wait(20) == 0


def test_a_job_ends_with_the_sweep(server: JobServer, tmp_path: Path) -> None:
    job = start(server, tmp_path, "from scalarpath.runs.processes import end_with_parent; end_with_parent()")
    server.close()
    with pytest.raises(ProcessLookupError):
        os.kill(job.pid, 0)


def test_a_server_that_is_gone_gives_its_own_status(server: JobServer, tmp_path: Path) -> None:
    job = start(server, tmp_path, "import time; time.sleep(60)")
    server.process.kill()
    assert job.wait(20) == -signal.SIGKILL
    assert not server.fits(server.command, server.environment)
    os.kill(job.pid, signal.SIGKILL)


def test_another_environment_gets_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_SERVER", None)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    first = processes._server(command, {"A": "1"})
    assert processes._server(command, {"A": "1"}) is first
    second = processes._server(command, {"A": "2"})
    assert second is not first
    assert first.process.returncode == 0
    second.close()
    assert processes._server(command, {"A": "2"}) is not second
    processes._server(command, {"A": "2"}).close()
