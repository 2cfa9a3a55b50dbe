"""Command lines. Nothing heavy is imported before a configuration has been composed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scalarpath.core.errors import ConfigError, DataError, ScalarPathError
from scalarpath.core.files import is_disk_full
from scalarpath.core.imports import imported
from scalarpath.core.memory import end_at_once, imports_at_once, prepare_heap
from scalarpath.core.model_file import file_of, require_whole
from scalarpath.core.overrides import as_meant, check_overrides, explained, with_mode
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import Text, checked
from scalarpath.core.stopwatch import phase
from scalarpath.core.terminal import use_plain_letters
from scalarpath.core.termination import end_on_signals, exit_status, name_of
from scalarpath.data.config import absent_place
from scalarpath.evaluation.settings import EvaluationSettings
from scalarpath.models.settings import ExportSettings, PredictSettings
from scalarpath.runs.continuation import check_places
from scalarpath.runs.job import CHANGED_ON_RESUME, NOT_SETTINGS, Job
from scalarpath.runs.job_server import SERVE, next_job
from scalarpath.runs.processes import end_with_parent
from scalarpath.runs.ranks import is_first_process, settle_ranks
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.runs.sweep import RECORDS, run_sweep_job
from scalarpath.runs.sweep_table import print_sweep
from scalarpath.upstream.settings import ImportSettings


def train() -> None:
    """``python train.py``: one training job, or several with Hydra's ``--multirun``.

    An error that the user can mend is one line on the standard error and exit status 2; a signal that ends the command
    gives 128 and its number. A multirun runs all jobs, ends with a table of them and has exit status 1 when any is not
    done.
    """
    try:
        _main("train", _train)
    except SystemExit:
        if RECORDS in os.environ:
            print_sweep(Path(os.environ[RECORDS]))
        raise
    if RECORDS in os.environ and not print_sweep(Path(os.environ[RECORDS])):
        sys.exit(1)


def benchmark() -> None:
    """``python benchmark.py``: cost of heads, comparison with peers, profile; errors as in ``train``."""
    _main("benchmark", _benchmark)


def evaluate() -> None:
    """``python evaluate.py``: test errors and physical artifacts; errors as in ``train``, a failed measure too."""
    _main("evaluate", _evaluate)


def report() -> None:
    """``python report.py``: paired statistics, verdicts and figures of finished runs; errors as in ``train``."""
    _main("report", _report)


def import_() -> None:
    """``python import.py``: a pretrained potential of another package as a checkpoint; errors as in ``train``."""
    _main("import", _import)


def export() -> None:
    """``python export.py``: the potential of a finished run as one file; errors as in ``train``."""
    _main("export", _export)


def predict() -> None:
    """``python predict.py``: predictions for files of structures, and their errors; errors as in ``train``."""
    _main("predict", _predict)


class _JobFailed(CompactHydraException):
    """A job of a multirun; its error has been shown."""


def _main(config_name: str, task: Callable[[DictConfig], Any]) -> None:
    _prepare()
    # Hydra then raises what it would print: an error of its own is one sentence too, see below
    as_it_comes = "HYDRA_FULL_ERROR" in os.environ
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        sys.argv[1:] = with_mode(check_overrides(config_name, as_meant(sys.argv[1:])))
        hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=config_name)(
            _with_errors_as_lines(task)
        )()
    except _JobFailed as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except ConfigError as error:
        _end(error)
    except KeyboardInterrupt as interrupt:
        _end_interrupted(interrupt)
    except BrokenPipeError:  # somebody reads on no longer: train.py --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        if as_it_comes:
            raise
        if isinstance(error, HydraException | OmegaConfBaseException):
            _end(explained(error, config_name, sys.argv[1:]))
        traceback.print_exc()
        sys.exit(1)
    finally:
        if not as_it_comes:  # a second command in this process would take it for the user's wish
            del os.environ["HYDRA_FULL_ERROR"]


def _end_interrupted(interrupt: KeyboardInterrupt) -> NoReturn:
    print(f"interrupted ({name_of(interrupt)})", file=sys.stderr)
    sys.exit(exit_status(interrupt))


def _prepare() -> None:
    end_on_signals()
    prepare_heap()
    use_plain_letters()
    end_at_once()


def _end(error: ScalarPathError) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def _with_errors_as_lines(task: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    def guarded(cfg: DictConfig) -> Any:
        try:
            return _run_with_room(task, cfg)
        except ScalarPathError as error:
            print(f"error: {error}", file=sys.stderr)
            if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
                # Hydra goes on with the other jobs and reports the first failure at the end
                job = HydraConfig.get().job
                raise _JobFailed(f"job {job.num} ({job.override_dirname}) failed: {error}") from None
            sys.exit(2)
        except KeyboardInterrupt as interrupt:
            # also ends a multirun: Hydra would go on after any other exception
            _end_interrupted(interrupt)

    return guarded


def _run_with_room(task: Callable[[DictConfig], Any], cfg: DictConfig) -> Any:
    try:
        return task(cfg)
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise ConfigError(f"{error.filename or 'a file'}: {error.strerror}; make room, then start again.") from error


def _benchmark(cfg: DictConfig) -> None:
    from scalarpath.cost import run

    run(cfg)


def _evaluate(cfg: DictConfig) -> None:
    # a wrong setting is reported before seconds go by with imports
    settings = EvaluationSettings.from_hydra(cfg)
    for name in ("frames", "structure"):
        path = getattr(settings, name)
        if path is not None and absent_place({"source": "file", "path": path}):
            raise DataError(f"{name}={path}: no such file; check the path.")
    each, left_out = settings.each_run()
    for path in filter(None, (settings.beside, *(settings.committee or ()))):
        RunDirectory.finished(Path(path))
    one = each[0]
    if len(each) == 1 and one.run is not None and one.frames is None:  # of several, each has its check in its turn
        check_places(Job.of_run(one.run, one.changes), f"run={one.run}")
    _check_device(settings.device)
    if settings.material is not None:
        from scalarpath.artifacts.bench import bench_reference

        bench_reference(settings.material)
    for reason in left_out:
        print(f"left out: {reason}", flush=True)
    if len(each) == 1 and settings.run is not None:
        print(f"evaluating {each[0].run}", flush=True)
    with imports_at_once():
        for name in ("calculator", "reference"):
            if (factory := getattr(settings, name)) is not None:
                imported(factory, f"{name} = {factory}")
        from scalarpath.evaluation.several import evaluate_each

    evaluate_each(each)


def _check_device(device: str) -> None:
    """Raise ConfigError for a device that torch, and nothing else, says is not there."""
    if device == "cpu":
        return
    with imports_at_once():
        from scalarpath.potential.device import usable_device

    usable_device(device)


def _import(cfg: DictConfig) -> None:
    settings = ImportSettings.from_hydra(cfg)
    with imports_at_once():
        from scalarpath.upstream.command import run

    run(settings)


def _export(cfg: DictConfig) -> None:
    settings = ExportSettings.from_hydra(cfg)
    RunDirectory.finished(Path(settings.run))
    with imports_at_once():
        from scalarpath.models.export import run

    run(settings)


def _predict(cfg: DictConfig) -> None:
    settings = PredictSettings.from_hydra(cfg)
    if absent := absent_place({"source": "file", "path": settings.path}):
        raise DataError(f"path={absent[1]}: no such file or folder; check the path.")
    for model in [settings.model] if isinstance(settings.model, str) else settings.model:
        require_whole(file_of(model))
    _check_device(settings.device)
    with imports_at_once():
        from scalarpath.models.predict import run

    run(settings)


def _report(cfg: DictConfig) -> None:
    from scalarpath.report import run

    run(cfg)


def _train(cfg: DictConfig) -> float | None:
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return run_sweep_job(cfg)
    _run(cfg, _changed_on_resume(cfg))
    return None


def _run(cfg: DictConfig, changed: Collection[str] = ()) -> None:
    # a wrong setting is reported before seconds go by with imports
    phase("settings")
    resume, trust = cfg.get("resume"), checked(cfg.get("trust", []), list[Text], "trust")
    job = Job.from_hydra(cfg, {key: OmegaConf.select(cfg, key) for key in changed})
    settle_ranks(job.trainer.devices, job.trainer.num_nodes)
    if resume is not None:
        check_places(job, f"resume={resume}")
    elif absent := absent_place(job.config["data"]):
        raise DataError(f"{absent[1]}: no such file or folder; check data.{absent[0]}=.")
    if resume is None and job.init_from is not None:
        require_whole(file_of(job.init_from))
    if job.artifacts is not None:
        from scalarpath.artifacts.bench import bench_of_training

        bench_of_training(job.config)
    if is_first_process():
        arm = " x ".join(str(item) for item in (job.backbone.get("kind"), job.head.get("name")))
        print(f"{arm} on {job.data.name}, seed {job.seed}: {resume or job.output_dir}", flush=True)
    phase("imports")
    with imports_at_once():
        import torch

        from scalarpath.training.checks import check_job

    if resume is None:  # a run has had its check, and its settings are trusted later
        check_job(job)
    with imports_at_once():
        from scalarpath.training.run import run

    if job.trainer.threads is not None:
        torch.set_num_threads(job.trainer.threads)

    # a path with the time in it is not one that somebody has chosen
    unnamed = "${now:" in str(OmegaConf.to_container(cfg, resolve=False).get("output_dir"))  # type: ignore[union-attr]
    run(job, resume=None if resume is None else Path(resume), trust=trust, unnamed=unnamed)


def _changed_on_resume(cfg: DictConfig) -> list[str]:
    """The settings besides ``resume`` on the command line; raises ConfigError for those that a run does not change."""
    if cfg.get("resume") is None:
        if cfg.trust:
            raise ConfigError("trust= belongs to resume=: names that are typed are trusted.")
        return []
    typed = {text.partition("=")[0]: text for text in HydraConfig.get().overrides.task}
    changed = [key for key in typed if key not in NOT_SETTINGS]
    for key in changed:
        if key not in CHANGED_ON_RESUME:
            raise ConfigError(
                f"resume= takes all settings from the run directory; remove '{typed[key]}' (what can be changed: "
                f"{', '.join(CHANGED_ON_RESUME)})."
            )
    return changed


def _job_of_sweep(config_file: str, program: str) -> None:
    """``python -m scalarpath.cli FILE PROGRAM``: one job of a sweep, whose settings (or ``resume``) stand in FILE.

    PROGRAM: what the user has called, after which the commands that are printed are called too.
    """
    sys.argv = [program, config_file, program]  # Lightning calls the command again for further processes
    threading.Thread(target=end_with_parent, daemon=True).start()
    _prepare()
    _with_errors_as_lines(_run)(DictConfig(OmegaConf.load(config_file)))


def _serve(program: str, answers: str) -> None:
    """``python -m scalarpath.cli --serve PROGRAM DESCRIPTOR``: many jobs of a sweep, see ``runs.job_server``."""
    prepare_heap()
    with imports_at_once():
        import scalarpath.training.run  # noqa: F401
    _job_of_sweep(next_job(int(answers)), program)


if __name__ == "__main__":
    if sys.argv[1] == SERVE:
        _serve(*sys.argv[2:4])
    else:
        _job_of_sweep(*sys.argv[1:3])
