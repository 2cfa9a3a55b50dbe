"""Jobs of a multirun: found again by the hash of their settings, skipped when finished, continued when cut off.

Nothing heavy is imported here: a sweep of finished jobs is over at once.
"""

from __future__ import annotations

import glob
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from scalarpath.core.errors import ConfigError, InUseError, ScalarPathError, TrainingError
from scalarpath.core.files import write_json, write_text
from scalarpath.core.imports import locations
from scalarpath.core.termination import is_interrupt, name_of
from scalarpath.runs.identity import NO_NUMBER, config_hash, differing
from scalarpath.runs.job import Job, plain_config, stored_config
from scalarpath.runs.lock import sole_use
from scalarpath.runs.processes import run_in_own_process
from scalarpath.runs.ranks import is_first_process, settle_ranks
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.runs.sweep_table import judged_errors, print_progress

# environment of all jobs of one launch: the folder of what became of them, and how many jobs there are
RECORDS, JOBS = "SCALARPATH_SWEEP_RECORDS", "SCALARPATH_SWEEP_JOBS"


def _job_hash(*, _root_: DictConfig) -> str:
    return config_hash(plain_config(_root_, ("hydra", *NO_NUMBER)))[:8]


# ${job_hash:} in hydra.sweep.subdir: the first digits of hash/config in summary.json
OmegaConf.register_new_resolver("job_hash", _job_hash, replace=True)


class SweepStart(Callback):
    """Hydra callback (conf/train.yaml) that prepares a multirun."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Say where jobs leave their records, and let no more jobs run at a time than there are cores for."""
        launch = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{os.getpid()}"
        os.environ[RECORDS] = str(Path(config.hydra.sweep.dir).absolute() / ".jobs" / launch)
        os.environ[JOBS] = str(_jobs(config.hydra.sweeper, config.hydra.overrides.task))
        launcher = config.hydra.launcher
        if "n_jobs" not in launcher:
            return
        print(f"What jobs print: {os.environ[RECORDS]}/*.log")
        per_job = (config.trainer.threads or 1) * config.trainer.devices
        limit = max(1, joblib.cpu_count() // per_job)
        if not 0 < launcher.n_jobs <= limit:
            if launcher.n_jobs > 0:
                print(
                    f"{limit} jobs at a time instead of {launcher.n_jobs}: {joblib.cpu_count()} cores", file=sys.stderr
                )
            with read_write(launcher):
                launcher.n_jobs = limit


def _jobs(sweeper: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Number of jobs that the command line asks for; what it says of a setting replaces what the configuration says."""
    if "n_trials" in sweeper:
        return int(sweeper["n_trials"])
    in_config = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    overrides = {item.key_or_group: item for item in parser.parse_overrides([*in_config, *arguments])}
    return math.prod(len(list(item.sweep_iterator())) for item in overrides.values() if item.is_discrete_sweep())


def threads_per_process(launcher: Mapping[str, Any], devices: int) -> int:
    """CPU threads with which all processes that run at a time have a core for each.

    A cluster's cores are those that submitit reserves for a process; on one machine they are shared by the
    ``n_jobs`` jobs at a time and the processes of each.
    """
    if "cpus_per_task" in launcher:
        return launcher["cpus_per_task"] or 1
    return max(1, joblib.cpu_count() // (launcher.get("n_jobs", 1) * devices))


def run_sweep_job(cfg: DictConfig) -> float | None:
    """Run, continue or skip one job of a multirun, and leave a record of that for the table.

    Returns the best validation value (callbacks.checkpoint.monitor), which Optuna minimises; None from a failed job,
    which does not stop the others, and from all but the first of several processes that a cluster starts for a job.
    """
    settle_ranks(cfg.trainer.devices, cfg.trainer.num_nodes)
    hydra_config = HydraConfig.get()
    directory = RunDirectory(Path(hydra_config.runtime.output_dir))
    overrides = list(hydra_config.overrides.task)
    record = _Record(Path(os.environ[RECORDS]) / str(hydra_config.job.num), directory, overrides)
    record.write("running")
    try:
        job = Job.read({**plain_config(cfg), "output_dir": str(directory.path)})
        directory = record.directory = _found_again(directory, job)
        outcome = "skipped" if directory.is_complete else "resumed" if directory.has_epoch else "finished"
        if outcome != "skipped" and not _train(job, directory, record, resume=outcome == "resumed"):
            outcome = "skipped"
    except KeyboardInterrupt as interrupt:
        record.write("interrupted", message=name_of(interrupt))
        raise
    except InUseError as error:
        record.write("elsewhere", message=str(error))
        return None
    except ScalarPathError as error:
        print(f"error: {error}", file=sys.stderr)
        record.write("interrupted" if isinstance(error, _InterruptedError) else "failed", message=str(error))
        with suppress(OSError):
            directory.path.rmdir()  # made by Hydra, and still empty
        return None
    if not is_first_process():
        return None
    summary, monitor = directory.read_json("summary.json"), job.callbacks.checkpoint.monitor
    value = float(summary[f"best/{monitor}"])
    record.write(outcome, monitor=monitor, value=value, **judged_errors(summary))
    return value


class _InterruptedError(TrainingError):
    """A signal has ended the process of the job, and of no other one."""


class _Record:
    """What becomes of one job in one launch: ``<path>.json``, beside its settings and its log."""

    def __init__(self, path: Path, directory: RunDirectory, overrides: list[str]) -> None:
        self.path, self.directory, self.overrides = path, directory, overrides
        self._start = time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)

    def file(self, suffix: str) -> Path:
        return self.path.with_suffix(suffix)

    def write(self, state: str, **details: Any) -> None:
        if is_first_process():
            minutes = (time.monotonic() - self._start) / 60
            job = {"directory": str(self.directory.path), "overrides": self.overrides}
            write_json(self.file(".json"), {**job, "state": state, "minutes": minutes, **details})
            if state != "running":
                print_progress(self.file(".json"), int(os.environ.get(JOBS, 0)))


def _found_again(directory: RunDirectory, job: Job) -> RunDirectory:
    """The directory of the job: ``directory``, or one beside it that an earlier version has named by another hash.

    Raises ConfigError where the run in ``directory`` is another one by now.
    """
    path = directory.path
    if directory.has_epoch:
        if others := differing(stored_config(path), job.config):
            said = ", ".join(f"{key} ({there}, not {here})" for key, (there, here) in others.items())
            raise ConfigError(f"{path} holds a run with other settings by now: {said}; move it away, or change these.")
        return directory
    for other in sorted(path.parent.glob(f"{glob.escape(path.name.rpartition('_')[0])}_*")):
        if RunDirectory(other).has_epoch and not differing(stored_config(other), job.config):
            with suppress(OSError):
                path.rmdir()  # made by Hydra, and still empty
            return RunDirectory(other)
    return directory


def _train(job: Job, directory: RunDirectory, record: _Record, *, resume: bool) -> bool:
    """Whether this launch has finished the job, and not another one since it was looked at."""
    if is_first_process():
        with sole_use(directory.path):  # else a second sweep is at it, which is no failure
            pass
    # the settings were typed for this launch, so what they name is trusted
    settings = {"resume": str(directory.path), "trust": locations(job.config)} if resume else job.config
    write_text(record.file(".yaml"), OmegaConf.to_yaml(OmegaConf.create(settings)))
    launcher = HydraConfig.get().launcher
    print(f"started: {directory.path.name}", flush=True)
    status = run_in_own_process(
        record.file(".yaml"),
        record.file(".log"),
        threads=job.trainer.threads or threads_per_process(launcher, job.trainer.devices),
        quiet=not launcher["_target_"].endswith("BasicLauncher"),
        fork=job.trainer.accelerator == "cpu",
    )
    if is_interrupt(status):
        raise _InterruptedError(f"{directory.path} was interrupted; the sweep started again goes on with it.")
    if status != 0:
        with sole_use(directory.path):  # a second sweep may have been faster while this process was starting
            if directory.is_complete:
                return False
        raise TrainingError(_last_words(record.file(".log"), status))
    return True


def _last_words(log: Path, status: int) -> str:
    """The error that ended a job, from what it printed."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    return f"killed by signal {-status}" if status < 0 else (lines or [f"ended with status {status}"])[-1]
