"""The run directory: what it holds, and how a finished run differs from an unfinished one."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.core.files import write_json, write_text
from scalarpath.core.overrides import setting
from scalarpath.core.termination import is_alive
from scalarpath.runs.lock import LOCK, unusable

# what evaluation and report read of a finished run: status.json keeps their checksums
RESULTS = (
    "config.yaml", "provenance.json", "splits.json", "metrics.csv", "checkpoints/best.ckpt", "test_frames.csv",
    "summary.json",
)  # fmt: skip
MARK = {"program": "scalarpath", "schema": 1}  # in status.json: whose directory this is
STATES = ("running", "interrupted", "failed", "finished")
# what a run writes before the end of its first epoch, each perhaps half-written under its name with .part
BEFORE_FIRST_EPOCH = (
    "status.json", "config.yaml", "provenance.json", "splits.json", "label_audit.json", "statistics.json",
    "metrics.csv", "failure.txt", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
    "tensorboard/events.out.tfevents.*", "tensorboard/hparams.yaml",
)  # fmt: skip
KEPT_FOR_NEXT_START = ("logger.json", "wandb/*")  # the next start goes on with the same W&B run


def require_run(path: Path) -> Path:
    """The settings of the run in ``path``; raises CheckpointError where there is none."""
    if not (file := path / "config.yaml").is_file():
        raise CheckpointError(f"{path}: there is no run in this directory (no config.yaml).")
    return file


class RunDirectory:
    """One run's directory.

    A run is finished when ``summary.json`` exists and ``status.json`` says so. Only files are ever removed that the
    program has written: in a directory whose status.json carries its mark, and under the names that it uses.
    ``at_begin``: texts of files that ``begin`` writes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.at_begin: dict[str, str] = {}
        self._has_begun = False

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """Make the directory of a new run, in place of one that was killed before the end of its first epoch.

        Raises ConfigError when it cannot be written or holds anything else.
        """
        directory = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            directory._take_over()
            directory.begin()
            directory.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise unusable(path, error) from error
        return directory

    @classmethod
    def reopen(cls, path: Path, *, more_epochs: bool = False) -> RunDirectory:
        """Open the directory of an unfinished run to continue it; nothing in it changes until ``begin``.

        A run that ended at ``trainer.max_time`` counts as unfinished; with ``more_epochs`` a finished one can be
        continued too. Raises CheckpointError when there is nothing to continue.
        """
        directory = cls(path)
        require_run(path)
        if not directory.has_epoch:
            raise CheckpointError(f"resume={path}: no epoch of this run was finished (no checkpoints/last.ckpt).")
        if directory.is_complete and not more_epochs:
            raise CheckpointError(
                f"resume={path}: this run is finished, there is nothing to continue; for more epochs give a larger "
                "trainer.max_epochs too."
            )
        if directory.is_complete and directory.read_json("summary.json").get("stopped_by") == "early_stopping":
            raise CheckpointError(
                f"resume={path}: early stopping ended this run and would end it again at once; start a new run."
            )
        directory.failure.unlink(missing_ok=True)  # of the last job; it stands in status.json too
        return directory

    @classmethod
    def finished(cls, path: Path) -> RunDirectory:
        """The directory of a finished run; raises CheckpointError where there is none."""
        directory = cls(path)
        require_run(path)
        if not directory.is_finished:
            raise CheckpointError(
                f"{path}: this run is not finished (no summary.json); use {setting('resume', path)} first."
            )
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
    def state(self) -> str:
        """What status.json says, or ``died``: it says that the run goes on, but on this machine its process is gone."""
        status = self.read_json("status.json", ["state"])
        if status["state"] == "running" and status.get("host") == socket.gethostname() and not is_alive(status["pid"]):
            return "died"
        return str(status["state"])

    @property
    def is_finished(self) -> bool:
        """Whether the run ended well and was tested, and is not being continued."""
        if not (self.path / "summary.json").is_file():
            return False
        return not (self.path / "status.json").exists() or self.read_json("status.json").get("state") == "finished"

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

    def read_json(self, name: str, needs: Collection[str] = ()) -> dict[str, Any]:
        """Read one of the JSON files of the run, which ``needs`` these keys.

        Raises CheckpointError when it is missing or damaged.
        """
        try:
            content = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path / name} cannot be read ({error}); the run is damaged.") from error
        if not isinstance(content, dict):
            raise CheckpointError(f"{self.path / name} holds no JSON object; the run is damaged.")
        for key in needs:
            if key not in content:
                raise CheckpointError(f"{self.path / name} lacks '{key}'; the run is damaged.")
        return content

    def check_results(self) -> None:
        """Raise CheckpointError where a finished run is not as it was left; nothing is known of older runs."""
        status = self.read_json("status.json") if (self.path / "status.json").exists() else {}
        for name, checksum in status.get("sha256", {}).items():
            try:
                same = _sha256(self.path / name) == checksum
            except OSError as error:
                raise CheckpointError(f"{self.path / name} cannot be read ({error}); the run is damaged.") from error
            if not same:
                raise CheckpointError(f"{self.path / name} has changed since the run was finished; restore the file.")

    def begin(self) -> None:
        """Mark the run as running. When one is continued this comes with its first step: until then nothing changes."""
        self._has_begun = True
        self._set_status("running")
        for name, text in self.at_begin.items():
            self.write_text(name, text)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, in place of that of an earlier end, and mark the run as finished."""
        self.write_json("summary.json", summary)
        there = [name for name in RESULTS if (self.path / name).is_file()]
        self._set_status("finished", sha256={name: _sha256(self.path / name) for name in there})
        self._has_begun = False

    def fail(self, error: str, state: str = "failed") -> None:
        """Mark the run as failed or interrupted, or remove it when it has not finished a single epoch.

        A run that was to be continued and never began stays as it was, and so does one that has been finished.
        """
        if not self._has_begun:
            return
        if (self.checkpoints / "last.ckpt").exists():
            with suppress(OSError):  # on a full disk
                self._set_status(state, error)
        else:
            with suppress(OSError, CheckpointError):  # what has ended the run is said, and nothing else
                self._remove(wandb=True)

    def _set_status(self, state: str, error: str | None = None, **more: Any) -> None:
        """Write status.json: what this run is doing, or what ended it."""
        process = {"pid": os.getpid(), "host": socket.gethostname()}
        self.write_json("status.json", {**MARK, "state": state, **process, "error": error, **more})

    def _take_over(self) -> None:
        """Clear a directory of what a run left that was killed in its first epoch; raises ConfigError for any other."""
        files = self._files()
        if not files:
            return
        if self._is_ours():
            if self.is_finished:
                raise ConfigError(f"output_dir = {self.path} holds a finished run; choose another one.")
            if self.has_epoch:
                resume = setting("resume", self.path)
                raise ConfigError(f"output_dir = {self.path} holds an unfinished run; use {resume} or another one.")
            names: tuple[str, ...] = (*BEFORE_FIRST_EPOCH, *KEPT_FOR_NEXT_START)
        else:
            names = ("status.json.part",) if self._was_killed_at_once() else ()
        foreign = [name for name in files if not _matches(name, names)]
        if foreign:
            raise ConfigError(f"output_dir = {self.path} is not empty ({foreign[0]}); choose another one.")
        self._remove(wandb=False)

    def _is_ours(self) -> bool:
        """Whether status.json carries the mark, or is one of the time before there was a mark."""
        try:
            status = self.read_json("status.json")
        except CheckpointError:
            return False
        mark = {key: status[key] for key in MARK if key in status}
        before_marks = set(status) == {"state", "pid", "error"}
        return (mark == MARK or before_marks) and status.get("state") in STATES

    def _was_killed_at_once(self) -> bool:
        """Whether nothing but a part of the first status.json was written."""
        try:
            text = (self.path / "status.json.part").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return False
        start = json.dumps(MARK, indent=2).removesuffix("\n}")
        return text.startswith(start) or start.startswith(text)

    def _files(self) -> list[str]:
        """Names of all files and links, with their folders, but for the lock; links to folders are not followed."""
        found = [entry for entry in self.path.rglob("*") if entry.is_symlink() or not entry.is_dir()]
        return sorted(entry.relative_to(self.path).as_posix() for entry in found if entry != self.path / LOCK)

    def _remove(self, *, wandb: bool) -> None:
        """Remove the files of a run without an epoch, and folders that are empty then; ``wandb``: its W&B files too."""
        names: tuple[str, ...] = BEFORE_FIRST_EPOCH
        if wandb and (self.path / "logger.json").is_file():
            run_id = self.read_json("logger.json").get("wandb_id")
            names += (
                "logger.json",
                f"wandb/run-*-{run_id}/*",
                f"wandb/offline-run-*-{run_id}/*",
                "wandb/latest-run",
                "wandb/debug*.log",
            )
        for name in self._files():
            if _matches(name, names):
                (self.path / name).unlink()
        for folder in sorted((path for path in self.path.rglob("*") if path.is_dir()), reverse=True):
            if _matches(f"{folder.relative_to(self.path).as_posix()}/", ("checkpoints/*", "tensorboard/*", "wandb/*")):
                with suppress(OSError):
                    folder.rmdir()


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.removesuffix(".part"), pattern) for pattern in patterns) or name in patterns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
