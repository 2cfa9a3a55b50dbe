"""A finished run, read back: its potential, its data in the same splits, its test errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalarpath.core.errors import CheckpointError, DataError
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.potential import Potential, load_potential
from scalarpath.runs.job import Job
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.evaluation import evaluate, trivial_errors


@dataclass(frozen=True)
class FinishedRun:
    """Directory, settings, summary, potential of the best epoch, and data of a run."""

    directory: RunDirectory
    job: Job
    summary: dict[str, Any]
    potential: Potential
    data: AtomicDataModule

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> FinishedRun:
        """Read a run directory.

        Raises CheckpointError where there is no finished run, DataError where its data are no longer the same.
        """
        directory = RunDirectory(Path(path))
        if not (directory.path / "config.yaml").is_file():
            raise CheckpointError(f"run={path}: there is no run in this directory (no config.yaml).")
        if not directory.is_finished:
            raise CheckpointError(f"run={path}: this run is not finished (no summary.json); use resume={path} first.")
        job = Job.of_run(directory.path)
        potential = load_potential(directory.path).copy_to(device=device)
        data = AtomicDataModule(job.data.accepted(), cutoff=job.cutoff, seed=job.seed, required=job.loss.required)
        data.setup()
        if directory.read_json("provenance.json")["data_hash"] != data.data_hash:
            raise DataError(f"run={path}: the data have changed since this run; restore them.")
        if directory.read_json("splits.json") != data.splits:
            raise DataError(f"run={path}: the data are split differently than in splits.json; use the run's version.")
        return cls(directory, job, directory.read_json("summary.json"), potential, data)

    def errors(self) -> dict[str, Any]:
        """Test errors and those of a trivial predictor, under the names of summary.json."""
        found = evaluate(self.potential, self.data.test_dataloader())
        trivial = trivial_errors(self.data.train_graphs, self.data.test_graphs)
        return {f"test/{key}": value for key, value in found.items()} | {
            f"trivial/{key}": value for key, value in trivial.items()
        }

    def identity(self) -> dict[str, Any]:
        """What was measured, for the files of the artifacts."""
        names = ("data", "backbone", "head", "seed", "dtype", "best_epoch", "hash/data", "hash/config")
        return {"run": self.directory.path.name} | {name: self.summary[name] for name in names}


def bench_name(data: Mapping[str, Any]) -> str | None:
    """The bench that belongs to a data configuration: folders of bundled sets have the names of benches, else None."""
    from scalarpath.artifacts.bench import BENCHES

    folder = Path(str(data.get("path"))).parent.name
    return folder if data.get("source") == "bundled" and folder in BENCHES else None
