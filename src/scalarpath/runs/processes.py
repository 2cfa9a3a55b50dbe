"""One job and its processes: where they all write, and how a job gets processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from scalarpath.core.errors import CheckpointError, ConfigError, ScalarPathError
from scalarpath.core.files import is_disk_full
from scalarpath.core.overrides import next_command, setting
from scalarpath.core.termination import Terminated, name_of
from scalarpath.runs.job_server import SERVE, ForkedJob, JobServer, Order
from scalarpath.runs.lock import new_directory, sole_use
from scalarpath.runs.ranks import is_first_process
from scalarpath.runs.run_directory import RunDirectory

SHARED_DIRECTORY = "SCALARPATH_RUN_DIR"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SERVER: JobServer | None = None
_SECONDS_TO_END = 20.0  # what an interrupted job gets for its last words


@contextmanager
def shared_directory(
    path: Path, *, resume: bool, more_epochs: bool = False, unnamed: bool = False
) -> Iterator[RunDirectory]:
    """The run directory, made or reopened by the first process and found by those it starts.

    Lightning starts the processes of a distributed job by running the same command again, where ``output_dir`` may hold
    another time of day; they take the path from the environment. ``unnamed``: nobody has chosen ``path``, so that a
    number is added where it is there already. Raises InUseError while another job uses it.
    """
    if not is_first_process():
        yield RunDirectory(Path(os.environ.get(SHARED_DIRECTORY, path)))
        return
    if unnamed:
        path = new_directory(path)
    try:
        with sole_use(path), _failure_recorded(path, resume=resume, more_epochs=more_epochs) as directory:
            yield directory
    finally:
        with suppress(OSError):
            path.rmdir()  # if nothing was left in it


@contextmanager
def _failure_recorded(path: Path, *, resume: bool, more_epochs: bool) -> Iterator[RunDirectory]:
    with suppress(CheckpointError):
        if RunDirectory(path).state == "died":
            print(f"{path} was left by a process that is gone without a word; it is taken over.", file=sys.stderr)
    directory = RunDirectory.reopen(path, more_epochs=more_epochs) if resume else RunDirectory.create(path)
    os.environ[SHARED_DIRECTORY] = str(path)
    try:
        yield directory
    except ScalarPathError as error:
        directory.fail(str(error))
        raise
    except KeyboardInterrupt as interrupt:
        directory.fail(name_of(interrupt), state="interrupted")
        if directory.has_epoch:
            print(f"\nGo on with: {next_command('train', 'resume', directory.path)}", file=sys.stderr)
        raise
    except OSError as error:
        if not is_disk_full(error):
            directory.fail(f"{type(error).__name__}: {error}")
            raise
        said = f"{path}: no room is left on the disk ({error.strerror})"
        kept = directory.has_epoch
        directory.fail(said)
        then = f"then go on with {setting('resume', path)}" if kept else "then start again"
        raise ConfigError(f"{said}; make room, {then}.") from error
    except BaseException as error:
        directory.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        del os.environ[SHARED_DIRECTORY]


def run_in_own_process(config_file: Path, log: Path, *, threads: int, quiet: bool, fork: bool = False) -> int:
    """Run the job that ``config_file`` describes in a process of its own; returns its exit status.

    Jobs then neither share settings of torch nor die together, and Lightning's launcher, which runs the command line
    again for every device, does not meet the command line of all jobs. Its errors, and with ``quiet`` all its output,
    are appended to ``log``. The process ends when this one does, even if this one is killed: see ``end_with_parent``.
    With ``fork`` (for jobs that use no GPU) it comes from a server, which imports all packages once for many jobs.
    """
    environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
    program = [sys.executable, "-m", "scalarpath.cli"]
    process: ForkedJob | subprocess.Popen[bytes]
    with log.open("a") as file:
        if fork and sys.platform == "linux":
            server = _server([*program, SERVE, sys.argv[0]], environment)
            process = ForkedJob(server, Order(str(config_file), str(log), quiet))
        else:
            output = file if quiet else None
            command = [*program, str(config_file), sys.argv[0]]
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=file)
        try:
            return process.wait()
        except BaseException as reason:
            # Ctrl-C reaches all processes of a terminal by itself
            if isinstance(reason, Terminated):
                process.send_signal(reason.number)
            elif not isinstance(reason, KeyboardInterrupt):
                process.send_signal(signal.SIGINT)
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _server(command: Sequence[str], environment: Mapping[str, str]) -> JobServer:
    """The server of this process for this command and environment; the one before ends."""
    global _SERVER
    if _SERVER is None or not _SERVER.fits(command, environment):
        if _SERVER is not None:
            _SERVER.close()
        _SERVER = JobServer(command, environment)
    return _SERVER


def end_with_parent() -> None:
    """Wait until the other end of the standard input is closed, which the death of the parent does, and end."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread notes that it was interrupted
    time.sleep(_SECONDS_TO_END / 2)
    os._exit(1)
