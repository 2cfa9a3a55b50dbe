"""Whose a directory is: made for one job alone, and locked as long as that writes to it."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from scalarpath.core.errors import ConfigError, InUseError

LOCK = ".lock"
_ATTEMPTS = 100


@contextmanager
def sole_use(path: Path) -> Iterator[None]:
    """Make ``path`` and keep all other jobs out of it; the lock ends with the process, however that ends.

    On a file system without locks it keeps nobody out. Raises InUseError when the place is in use, ConfigError when it
    is unusable.
    """
    with _locked(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            (path / LOCK).unlink(missing_ok=True)


def _locked(path: Path) -> TextIO:
    """The lock of ``path``, held by this process as long as the file is open."""
    for attempt in itertools.count():
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = (path / LOCK).open("a+")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and attempt < _ATTEMPTS:
                continue  # the job before has just removed the directory, which it left empty
            raise unusable(path, error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            raise InUseError(f"{path} is in use by {holder}; wait until that is done, or end it.") from None
        except OSError:
            return file
        # the job before may have removed the file since it was opened: then the next one would lock another
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), (path / LOCK).stat()):
                return file
        file.close()
    raise AssertionError  # numbers do not end


def new_directory(path: Path) -> Path:
    """Make the directory ``path``, or with the first number behind its name that is free: never one that was there."""
    for candidate in itertools.chain([path], (path.with_name(f"{path.name}_{k}") for k in itertools.count(2))):
        try:
            candidate.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise unusable(path, error) from error
        return candidate
    raise AssertionError  # numbers do not end


def unusable(path: Path, error: OSError) -> ConfigError:
    """The error for a directory in which nothing can be written."""
    return ConfigError(f"output_dir = {path} cannot be used: {error.strerror}; choose another one.")
