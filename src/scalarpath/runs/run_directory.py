"""The run directory: what it holds, and how a finished run differs from an unfinished one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.core.files import write_json, write_text

CONTENTS = {
    "config.yaml": "resolved configuration",
    "provenance.json": "versions, git revision, machine, hashes",
    "splits.json": "frame indices of train, valid, test",
    "label_audit.json": "which labels the data carry, their ranges and signs",
    "statistics.json": "E0s, scale, shift, neighbours (train split)",
    "metrics.csv": "one row per epoch",
    "checkpoints/best.ckpt": "epoch with the best validation value",
    "checkpoints/last.ckpt": "last epoch, for resume=",
    "test_frames.csv": "errors of every test frame",
    "artifacts": "physical artifacts: one JSON file and one figure per measure",
    "logger.json": "W&B run id",
    "wandb": "W&B files",
    "tensorboard": "TensorBoard files",
    "status.json": "running, failed or finished",
    "summary.json": "test errors, cost, hashes; present only when the run is finished",
}
LOCK = ".lock"
KEPT_FROM_FALSE_START = (LOCK, "logger.json", "wandb")  # the new start goes on with the same W&B run


@contextmanager
def sole_use(path: Path) -> Iterator[None]:
    """Make ``path`` and keep all other jobs out of it; the lock ends with the process, however that ends.

    On a file system without locks it keeps nobody out. Raises ConfigError when the place is in use or unusable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / LOCK).open("a+")
    except OSError as error:
        raise _unusable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(f"{path} is in use by {file.read()}; wait until that is done, or end it.") from None
        except OSError:
            pass
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            (path / LOCK).unlink(missing_ok=True)


class RunDirectory:
    """One run's directory. ``summary.json`` is written last: a run is finished exactly when it exists."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """Make the directory of a new run, in place of one that was killed before the end of its first epoch.

        Raises ConfigError when it cannot be written or already holds something.
        """
        directory = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            contents = [entry for entry in path.iterdir() if entry.name != LOCK]
        except OSError as error:
            raise _unusable(path, error) from error
        if contents:
            if directory.is_finished:
                raise ConfigError(f"output_dir = {path} holds a finished run; choose another one.")
            if directory.has_epoch:
                raise ConfigError(f"output_dir = {path} holds an unfinished run; use resume={path} or another one.")
            if not (path / "status.json").exists():
                raise ConfigError(f"output_dir = {path} is not empty; choose another one.")
            directory._clear_false_start(contents)
        try:
            directory.checkpoints.mkdir()
            directory.set_status("running")
        except OSError as error:
            raise ConfigError(f"output_dir = {path} is not writable: {error.strerror}; choose another one.") from error
        return directory

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Open the directory of an unfinished run to continue it.

        A run that ended at ``trainer.max_time`` counts as unfinished. Raises CheckpointError when there is nothing to
        continue.
        """
        directory = cls(path)
        if not (path / "config.yaml").is_file():
            raise CheckpointError(f"resume={path}: there is no run in this directory (no config.yaml).")
        if not directory.has_epoch:
            raise CheckpointError(f"resume={path}: no epoch of this run was finished (no checkpoints/last.ckpt).")
        if directory.is_complete:
            raise CheckpointError(f"resume={path}: this run is finished, there is nothing to continue.")
        for file in (path / "summary.json", directory.failure):
            file.unlink(missing_ok=True)
        directory.set_status("running")
        return directory

    @property
    def checkpoints(self) -> Path:
        """Folder of best.ckpt and last.ckpt."""
        return self.path / "checkpoints"

    @property
    def failure(self) -> Path:
        """What the first process to fail in a distributed job has said."""
        return self.path / "failure.txt"

    @property
    def is_finished(self) -> bool:
        """Whether the run ended well and was tested."""
        return (self.path / "summary.json").is_file()

    @property
    def is_complete(self) -> bool:
        """Whether the run is finished and did not merely run out of ``trainer.max_time``."""
        return self.is_finished and self.read_json("summary.json").get("stopped_by") != "max_time"

    @property
    def has_epoch(self) -> bool:
        """Whether an epoch was finished, so that the run can be continued."""
        return (self.path / "config.yaml").is_file() and (self.checkpoints / "last.ckpt").is_file()

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write one of the JSON files of the run."""
        write_json(self.path / name, data)

    def write_text(self, name: str, text: str) -> None:
        """Write one of the text files of the run."""
        write_text(self.path / name, text)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the JSON files of the run; raises CheckpointError when it is missing or damaged."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise CheckpointError(f"{self.path / name} cannot be read ({error}); the run is damaged.") from error

    def set_status(self, state: str, error: str | None = None) -> None:
        """Write status.json: what this run is doing, or what ended it."""
        self.write_json("status.json", {"state": state, "pid": os.getpid(), "error": error})

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as finished."""
        self.set_status("finished")
        self.write_json("summary.json", summary)

    def fail(self, error: str) -> None:
        """Mark the run as failed, or remove it when it has not finished a single epoch."""
        if (self.checkpoints / "last.ckpt").exists():
            self.set_status("failed", error)
        else:
            shutil.rmtree(self.path, ignore_errors=True)

    def _clear_false_start(self, contents: list[Path]) -> None:
        for entry in contents:
            if entry.name in KEPT_FROM_FALSE_START:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def tree(self) -> list[tuple[str, str]]:
        """What the directory holds now: (name, meaning)."""
        return [(name, meaning) for name, meaning in CONTENTS.items() if (self.path / name).exists()]


def _unusable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"output_dir = {path} cannot be used: {error.strerror}; choose another one.")
