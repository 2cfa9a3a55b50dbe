"""Loggers beside metrics.csv: W&B and TensorBoard."""

from __future__ import annotations

import hashlib
import json
import netrc
import os
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from pytorch_lightning.loggers import Logger

from scalarpath.runs.run_directory import RunDirectory
from scalarpath.runs.sections import LoggerSettings, WandbSettings

_SECONDS_TO_ANSWER = 15.0  # of W&B's server, before the run is logged offline
_SECONDS_TO_UPLOAD = 20.0  # at the end of a run; a cluster that ends a job gives it 30 s


def build_loggers(settings: LoggerSettings, directory: RunDirectory, config: Mapping[str, Any]) -> list[Logger]:
    """Lightning loggers of a run (metrics.csv is written in any case). Call it in the first process only."""
    if settings.kind == "tensorboard":
        from pytorch_lightning.loggers import TensorBoardLogger

        return [_counting_from_one(TensorBoardLogger(directory.path, name="", version="tensorboard"))]
    if settings.wandb is None:
        return []
    from pytorch_lightning.loggers import WandbLogger

    run = _start_wandb(settings.wandb, directory, config)
    logger = WandbLogger(experiment=run)
    logger.log_metrics = _Unharmed(logger.log_metrics, run)  # type: ignore[method-assign]
    return [_counting_from_one(logger)]


def _counting_from_one(logger: Logger) -> Logger:
    """``logger`` with epochs as metrics.csv counts them; Lightning begins at 0."""
    log = logger.log_metrics

    def log_metrics(metrics: dict[str, float], step: int | None = None) -> None:
        log(metrics | {"epoch": metrics["epoch"] + 1} if "epoch" in metrics else metrics, step)

    setattr(logger, "log_metrics", log_metrics)  # noqa: B010
    return logger


def finish_loggers(loggers: list[Logger], summary: Mapping[str, Any] | None) -> None:
    """Hand the summary to W&B and its numbers to TensorBoard, and close the run; None marks it as failed."""
    from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

    for logger in loggers:
        if isinstance(logger, WandbLogger):
            _Unharmed(_finish_wandb, logger.experiment)(logger.experiment, summary)
        elif isinstance(logger, TensorBoardLogger) and summary is not None:
            numbers = {key: value for key, value in summary.items() if "/" in key and isinstance(value, int | float)}
            logger.log_metrics(numbers, step=summary.get("steps"))
            logger.finalize("success")


def log_figures(loggers: list[Logger], files: Sequence[Path]) -> None:
    """Show figures (PNG) in W&B as ``artifact/<name of the file>``."""
    from pytorch_lightning.loggers import WandbLogger

    for logger in loggers:
        if isinstance(logger, WandbLogger) and files:
            import wandb

            images = {f"artifact/{file.stem}": wandb.Image(str(file)) for file in files}
            _Unharmed(logger.experiment.log, logger.experiment)(images)


def arm_of(config: Mapping[str, Any]) -> str:
    """One word that runs share which differ in nothing but the seed, such as ``si_mace-3f2a_panpgs_80epochs``.

    It has what a report compares and what it never averages over (``scalarpath.report.cells``): data set, number of
    train frames where that was chosen, backbone with four letters that stand for its settings, head, epochs.
    """
    data, backbone = config["data"], config["backbone"]
    settings = hashlib.sha256(json.dumps(backbone, sort_keys=True).encode()).hexdigest()[:4]
    frames = data.get("train_size")
    words = (
        data.get("name") if frames is None else f"{data.get('name')}-{frames}frames",
        f"{backbone.get('kind')}-{settings}",
        config["head"].get("name"),
        f"{config['trainer']['max_epochs']}epochs",
    )
    return "_".join(str(word) for word in words)


def has_credentials() -> bool:
    """Whether W&B finds a key for its server in the environment or the netrc file; nothing is asked or sent."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb

    # the public server has two names, of which the netrc file may hold either
    hosts = {urlparse(wandb.Settings().base_url).netloc, "api.wandb.ai"}
    try:
        known = netrc.netrc(os.environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return False
    return any(known.authenticators(host) is not None for host in hosts)


def _start_wandb(settings: WandbSettings, directory: RunDirectory, config: Mapping[str, Any]) -> Any:
    """Start the run, or continue the one whose id stands in logger.json. Never prompts; falls back to offline."""
    import wandb

    continued = (directory.path / "logger.json").exists()
    run_id = directory.read_json("logger.json")["wandb_id"] if continued else secrets.token_hex(4)
    directory.write_json("logger.json", {"wandb_id": run_id})
    arguments: dict[str, Any] = {
        "project": settings.project,
        "entity": settings.entity,
        "group": settings.group,
        "name": settings.name or directory.path.name,
        "tags": settings.tags,
        "config": {**config, "arm": arm_of(config)},
        "dir": str(directory.path),
        "id": run_id,
        "resume": "allow",
        "settings": wandb.Settings(
            silent=True,
            console="off",
            init_timeout=_SECONDS_TO_ANSWER,
            finish_timeout=_SECONDS_TO_UPLOAD,
            finish_timeout_raises=True,
        ),
    }
    mode = _mode(settings)
    if mode != "online":
        return wandb.init(mode=mode, **arguments)
    try:
        return wandb.init(mode="online", **arguments)
    except Exception as error:  # no server, a wrong key, no right to the project: nothing of that is worth a training
        wandb.teardown()  # else the id counts as in use
        run = wandb.init(mode="offline", **arguments)
        print(
            f"W&B at {run.settings.base_url} cannot be used ({_in_a_line(error)}); the run is logged offline. "
            f"{_send_later(run)}",
            file=sys.stderr,
        )
        return run


class _Unharmed:
    """A call to W&B that a training survives: a failure is said, and what was logged until then can be sent later."""

    def __init__(self, call: Callable[..., None], run: Any) -> None:
        self.call, self.run = call, run
        self.failed = False

    def __call__(self, *arguments: Any, **named: Any) -> None:
        if self.failed:
            return
        try:
            self.call(*arguments, **named)
        except Exception as error:
            self.failed = True
            print(
                f"W&B does not take all of the run ({_in_a_line(error)}), which goes on. {_send_later(self.run)}",
                file=sys.stderr,
            )


def _finish_wandb(run: Any, summary: Mapping[str, Any] | None) -> None:
    if summary is not None:
        run.summary.update(dict(summary))
    run.finish(exit_code=0 if summary is not None else 1)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _send_later(run: Any) -> str:
    return f"Send it later with: wandb sync {shlex.quote(str(run.settings.sync_dir))}"


def _mode(settings: WandbSettings) -> Literal["online", "offline", "disabled"]:
    wanted = os.environ.get("WANDB_MODE", "auto") if settings.mode == "auto" else settings.mode
    if wanted == "disabled":
        return "disabled"
    if wanted in ("offline", "dryrun") or not has_credentials():
        return "offline"
    return "online"
