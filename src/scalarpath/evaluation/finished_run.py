"""A finished run, read back: its potential, its data in the same splits, its test errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scalarpath.core.errors import DataError
from scalarpath.core.imports import names_from_file
from scalarpath.core.metrics import closed_test_part
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.potential import Potential, load_potential
from scalarpath.runs.continuation import check_places
from scalarpath.runs.job import Job
from scalarpath.runs.lock import sole_use
from scalarpath.runs.provenance import git_revision, versions
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.evaluation import errors_by_part
from scalarpath.training.frame_errors import FrameErrors
from scalarpath.training.record import recording

IDENTITY = ("data", "backbone", "head", "seed", "dtype", "best_epoch", "hash/data", "hash/config")


@dataclass(frozen=True)
class FinishedRun:
    """Directory, settings, summary and potential of the best epoch of a run."""

    directory: RunDirectory
    job: Job
    summary: dict[str, Any]
    potential: Potential
    trust: Collection[str]

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        trust: Collection[str] = (),
        changes: Mapping[str, Any] | None = None,
    ) -> FinishedRun:
        """Read a run directory.

        ``trust``: the packages of others that it may name; ``changes``: where its data are now (``Job.of_run``).
        Raises CheckpointError where there is no finished run, ConfigError for a device that is not there.
        """
        directory = RunDirectory.finished(Path(path))
        directory.check_results()
        job = Job.of_run(directory.path, changes)
        with names_from_file(directory.path / "config.yaml", trust):
            potential = load_potential(directory.path, trust=trust).copy_to(device=device)
        return cls(directory, job, directory.read_json("summary.json", IDENTITY), potential, trust)

    def read_data(self) -> AtomicDataModule:
        """The data in the splits of the run; raises DataError where they are no longer the same."""
        job, said = self.job, f"run={self.directory.path}"
        check_places(job, said)
        with names_from_file(self.directory.path / "config.yaml", self.trust):
            data = AtomicDataModule(
                job.data.accepted(),
                cutoff=job.cutoff,
                seed=job.seed,
                required=job.loss.required,
                own_e0s=job.init_from is not None,
                charged=job.charged,
            )
            data.setup("test")
        if self.directory.read_json("provenance.json", ["data_hash"])["data_hash"] != data.data_hash:
            raise DataError(
                f"{said}: the data have changed since this run; restore them, or say with data.path= where they are."
            )
        if self.directory.read_json("splits.json") != data.splits:
            raise DataError(f"{said}: the data are split differently than in splits.json; use the run's version.")
        return data

    @property
    def is_closed(self) -> bool:
        """Whether the test part was left closed by the training (``evaluate_test=false``), and by all until now."""
        return closed_test_part(self.directory.read_json("summary.json"), self.job.evaluate_test)

    def errors(self, data: AtomicDataModule) -> dict[str, Any]:
        """Errors of test, validation and train frames and of a trivial predictor, under the names of summary.json.

        A test part that is closed is opened: the run gets the files and numbers that it would have had, and
        provenance.json the time (``test_opened``). Raises ConfigError where the run cannot be written then.
        """
        frames, most = FrameErrors(), self.job.evaluate_train_frames
        if not self.is_closed:
            return errors_by_part(self.potential, data, most, frames)
        kept = recording(self.directory, data, figures=self.job.figures, test=True)
        with sole_use(self.directory.path), kept as record:
            errors = errors_by_part(self.potential, data, most, frames, record)
            self._open(errors, frames.to_csv(data.splits["test"], data.test_groups))  # that it was opened is kept first
        return errors

    def _open(self, errors: Mapping[str, float], frames: str) -> None:
        """Complete the run by its test errors; one that is cut off here counts as unfinished, and can be resumed."""
        directory = self.directory
        time = datetime.now(UTC).isoformat(timespec="seconds")
        opened = {"time": time, "versions": versions(), "git": git_revision()}
        record = directory.read_json("provenance.json") | {"test_opened": opened}
        directory.begin()
        directory.write_text("test_frames.csv", frames)
        directory.write_json("provenance.json", record)
        directory.finish(self.summary | {key: value for key, value in errors.items() if key not in self.summary})

    def identity(self) -> dict[str, Any]:
        """What was measured, for the files of the artifacts."""
        return run_identity(self.directory, self.summary)


def run_identity(directory: RunDirectory, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a run that is about to end, with the numbers of its summary."""
    return {"run": directory.path.name} | {name: summary[name] for name in IDENTITY}
