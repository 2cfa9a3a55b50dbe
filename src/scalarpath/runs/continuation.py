"""A run that goes on with other settings: more epochs, or its data in another place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from scalarpath.core.errors import CheckpointError, DataError
from scalarpath.data.config import absent_place
from scalarpath.runs.identity import config_hash, is_hash_of
from scalarpath.runs.job import Job, read_config, stored_config
from scalarpath.runs.provenance import git_revision, versions
from scalarpath.runs.run_directory import RunDirectory


def check_places(job: Job, said: str) -> None:
    """Raise DataError where a file of the run's data is gone; ``said``: the setting that names the run."""
    if absent := absent_place(job.config["data"]):
        key, place = absent
        seen_from = "" if Path(place).is_absolute() else f" (seen from {Path.cwd()})"
        raise DataError(f"{said}: its data are not at {place}{seen_from}; say where they are now with data.{key}=.")


def check_unchanged(directory: RunDirectory) -> None:
    """Raise CheckpointError where a run cannot go on as itself: with other settings than its own, or without a record.

    More epochs are asked for on the command line, and are no change of config.yaml by hand.
    """
    for name in ("splits.json", "metrics.csv"):
        if not (directory.path / name).is_file():
            raise CheckpointError(f"{directory.path / name} is missing; restore it, or start a new run.")
    config = read_config(directory.path)
    stored = directory.read_json("provenance.json", ["config_hash"])["config_hash"]
    if not any(is_hash_of(stored, each) for each in (config, _before_more_epochs(config))):
        raise CheckpointError(
            f"{directory.path / 'config.yaml'} has been changed since this run began (its settings do not have the "
            "hash in provenance.json); restore it, or start a new run with these settings."
        )


def _before_more_epochs(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration before its last change of the epochs, which a kill may have kept out of provenance.json."""
    earlier = config.get("earlier_max_epochs")
    if not earlier:
        return config
    return config | {"earlier_max_epochs": earlier[:-1], "trainer": config["trainer"] | {"max_epochs": earlier[-1]}}


def changed_files(directory: RunDirectory, job: Job) -> dict[str, str]:
    """The files in which a run that is continued as ``job`` says what is new; nothing where nothing is."""
    old, stored = read_config(directory.path), stored_config(directory.path)
    new = old | {key: value for key, value in job.config.items() if value != stored.get(key)}
    files = {} if job.config == stored else {"config.yaml": OmegaConf.to_yaml(OmegaConf.create(new))}
    record = directory.read_json("provenance.json", ["config_hash"])
    # also where the launch before was killed between the two files
    if job.earlier_max_epochs and not is_hash_of(record["config_hash"], new):
        step = {
            "max_epochs": job.trainer.max_epochs,
            "earlier_max_epochs": job.earlier_max_epochs[-1],
            "after_epoch": _epochs(directory),
            "earlier_config_hash": record["config_hash"],
            "versions": versions(),
            "git": git_revision(),
        }
        record |= {"config_hash": config_hash(new), "continued": [*record.get("continued", []), step]}
        files["provenance.json"] = json.dumps(record, indent=2, allow_nan=False) + "\n"
    return files


def notes(job: Job, before: int) -> list[str]:
    """What changes with more epochs, in sentences; ``before``: the earlier number of all epochs."""
    epochs = job.trainer.max_epochs
    said = [f"trainer.max_epochs is {epochs} instead of {before}; the results of before stay until new ones are there."]
    if job.scheduler.final_factor is not None:
        said.append(
            f"The {job.scheduler.kind} schedule is that of {epochs} epochs from here on: the learning rate rises again."
        )
    if job.loss.stage_two is not None:
        said.append(f"loss.stage_two begins after epoch {job.loss.stage_two.start * epochs:g} now.")
    return said


def _epochs(directory: RunDirectory) -> int:
    """Finished epochs: the rows of metrics.csv."""
    file = directory.path / "metrics.csv"
    return max(0, len(file.read_text(encoding="utf-8").splitlines()) - 1) if file.is_file() else 0
