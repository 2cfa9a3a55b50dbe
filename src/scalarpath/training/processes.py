"""One job and its processes: who is first, and where they all write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scalarpath.errors import ConfigError, ScalarPathError
from scalarpath.training.run_directory import RunDirectory

SHARED_DIRECTORY = "SCALARPATH_RUN_DIR"
_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")


def is_first_process() -> bool:
    """Whether this is the process that writes files (also before torch.distributed is initialised)."""
    return all(int(os.environ.get(name) or 0) == 0 for name in _RANK_VARIABLES)


@contextmanager
def shared_directory(path: Path, *, resume: bool) -> Iterator[RunDirectory]:
    """The run directory, made or reopened by the first process and found by those it starts.

    Lightning starts the processes of a distributed job by running the same command again, where ``output_dir`` may hold
    another time of day; they take the path from the environment.
    """
    if not is_first_process():
        yield RunDirectory(Path(os.environ.get(SHARED_DIRECTORY, path)))
        return
    directory = RunDirectory.reopen(path) if resume else RunDirectory.create(path)
    os.environ[SHARED_DIRECTORY] = str(path)
    try:
        yield directory
    except ScalarPathError as error:
        directory.fail(str(error))
        raise
    except KeyboardInterrupt:
        directory.fail("interrupted")
        if directory.path.exists():
            print(f"\nGo on with: resume={directory.path}", file=sys.stderr)
        raise
    except BaseException as error:
        directory.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        del os.environ[SHARED_DIRECTORY]


def run_in_own_process(overrides: Sequence[str], output_dir: Path) -> None:
    """Run one job of a Hydra multirun as a process of its own, as jobs with several devices need.

    Lightning's launcher runs the command line again for every device, and in a multirun that command line describes all
    jobs. Raises ConfigError when the job fails.
    """
    command = [sys.executable, sys.argv[0], *overrides, f"output_dir={output_dir}"]
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise ConfigError(f"the job in {output_dir} failed with status {status}; its message stands above.")
