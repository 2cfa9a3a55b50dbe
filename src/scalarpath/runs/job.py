"""What a training job is told: one dataclass per section of the configuration, checked before any work begins.

Nothing heavy is imported here, so that a wrong setting is reported at once. ``conf/`` explains every key. The
options of backbone and head are checked by their constructors (``potential.check_settings``), before the data are read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.core.metrics import check_monitor, logged_metrics
from scalarpath.core.settings import (
    WHOLE,
    Count,
    Cutoff,
    Range,
    Seed,
    Text,
    Whole,
    checked,
    read_settings,
)
from scalarpath.data.config import PLACES, DataConfig, own_places, with_defaults
from scalarpath.runs.run_directory import require_run
from scalarpath.runs.sections import (
    CallbackSettings,
    LoggerSettings,
    LossSettings,
    OptimizerSettings,
    SchedulerSettings,
    TrainerSettings,
)

NOT_SETTINGS = ("resume", "trust")  # of conf/train.yaml: what to do with a run that has its settings already
CHANGED_ON_RESUME = ("trainer.max_epochs", *(f"data.{key}" for key in PLACES))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training job; ``config`` is the whole plain configuration it was read from.

    In it the paths of data are absolute, and ``given_paths`` has those that were typed otherwise. A run that was given
    more epochs has its earlier numbers of epochs in ``earlier_max_epochs``.

    A setting with a default here is one that the oldest run directories do not have: they were made with that value,
    or it says what is measured of them now.
    """

    config: dict[str, Any]
    data: DataConfig
    backbone: dict[str, Any]
    head: dict[str, Any]
    loss: LossSettings
    optimizer: OptimizerSettings
    scheduler: SchedulerSettings
    trainer: TrainerSettings
    callbacks: CallbackSettings
    logger: LoggerSettings
    dtype: Literal["float32", "float64"]
    repulsion: Literal["zbl"] | None
    shift: Literal["zero", "mean"]
    measure_overhead: bool
    evaluate_train_frames: Whole = 1000
    evaluate_test: bool = True
    figures: bool = True
    compile: bool = False
    kernels: Literal["cuequivariance"] | None = None
    artifacts: Literal["smoke", "short", "full"] | None = None
    init_from: Text | None = None
    init_e0s: Literal["fit", "keep"] = "fit"
    init_elements: Literal["data", "all"] | list[Text] = "data"
    frozen: list[Text] | None = None
    depth_factor: Annotated[float, Range(above=0.0, at_most=1.0)] | None = None
    given_paths: dict[str, Any] | None = None
    earlier_max_epochs: list[Count] | None = None
    output_dir: Text
    seed: Seed

    def __post_init__(self) -> None:
        if "cutoff" not in self.backbone:
            raise ConfigError("backbone lacks the setting 'cutoff' (Å).")
        checked(self.backbone["cutoff"], Cutoff, "backbone.cutoff")
        if self.compile and self.kernels is not None:
            raise ConfigError("compile=true and kernels exclude one another; take one of them.")
        if self.optimizer.kind == "schedule_free" and (
            self.scheduler.kind != "constant" or self.callbacks.ema is not None
        ):
            raise ConfigError(
                "optimizer=schedule_free averages the weights itself, at a constant rate; add scheduler=constant "
                "callbacks.ema=null."
            )
        if self.init_from is not None and self.shift != "zero":
            raise ConfigError(f"init_from takes the shift of the file; leave shift={self.shift} out.")
        if self.init_from is None and self.init_elements != "data":
            raise ConfigError("init_elements says which elements of init_from are kept; name a file with init_from=.")
        self.check_monitors()

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Job:
        """Read a plain configuration without ``resume``; raises ConfigError."""
        settings = {**config, "data": with_defaults(config.get("data"))}
        return read_settings(cls, settings, WHOLE, {"config": dict(config)})

    @classmethod
    def from_hydra(cls, cfg: DictConfig, changes: Mapping[str, Any] | None = None) -> Job:
        """The job that a composed conf/train.yaml describes, or the one whose run directory ``resume`` names.

        ``changes``: see ``of_run``.
        """
        resume = checked(cfg.get("resume"), Text | None, "resume")
        if resume is not None:
            return cls.of_run(resume, changes)
        job = cls.read(_placed(plain_config(cfg)))
        job.refuse_unused()
        return job

    @classmethod
    def of_run(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> Job:
        """The job that made the run directory ``path``.

        ``changes``: settings of CHANGED_ON_RESUME, a larger number of epochs or where the same data are now. Raises
        CheckpointError where there is no run, ConfigError for changes that cannot be.
        """
        file = require_run(Path(path))
        try:
            job = cls.read(stored_config(path))
        except ConfigError as error:
            raise CheckpointError(f"{file}: {error}") from error
        return cls.read(_changed(job, changes)) if changes else job

    def check_monitors(self, labelled: Callable[[str, str], bool] = lambda part, quantity: True) -> None:
        """Check every setting that names a metric; ``labelled`` see ``core.metrics.check_monitor``.

        Raises ConfigError for a metric that this training does not log.
        """
        logged = logged_metrics(self.loss.required)
        check_monitor("callbacks.checkpoint.monitor", self.callbacks.checkpoint.monitor, logged, labelled)
        if self.callbacks.early_stopping is not None:
            check_monitor("callbacks.early_stopping.monitor", self.callbacks.early_stopping.monitor, logged, labelled)
        if self.scheduler.plateau is not None:
            # the schedule is told the value while the epoch is validated: the rest is not logged yet
            logged = {name: needed for name, needed in logged.items() if name.startswith("val/")}
            check_monitor("scheduler.plateau.monitor", self.scheduler.plateau.monitor, logged, labelled)

    def refuse_unused(self) -> None:
        """Raise ConfigError for what a new run would ignore; runs that were begun with it stay readable."""
        self.data.refuse_unused()
        # E0s that are fitted or a mean are the choice of a data set, these are the user's own
        if self.init_from is not None and (self.data.e0s == "isolated_atoms" or isinstance(self.data.e0s, dict)):
            raise ConfigError("init_from takes the E0s of the file, see init_e0s; leave data.e0s out.")

    @property
    def charged(self) -> bool:
        """Whether the head has charges."""
        return (self.head.get("linear") or {}).get("charges") is not None

    @property
    def cutoff(self) -> float:
        """Cutoff radius in Å."""
        return float(self.backbone["cutoff"])


def plain_config(cfg: DictConfig | ListConfig, without: Collection[str] = NOT_SETTINGS) -> dict[str, Any]:
    """Resolved configuration as plain values, without some keys; raises ConfigError for a broken interpolation."""
    if not isinstance(cfg, DictConfig):
        raise ConfigError(f"the configuration must be a group of settings, not {type(cfg).__name__}.")
    try:
        values = {str(key): cfg[key] for key in cfg if key not in without}
        return {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in values.items()
        }
    except OmegaConfBaseException as error:
        raise ConfigError(f"the configuration cannot be resolved: {str(error).splitlines()[0]}.") from error


def stored_config(path: str | Path) -> dict[str, Any]:
    """config.yaml of the run directory ``path``, completed by what the oldest runs do not have.

    Raises CheckpointError when it cannot be read.
    """
    defaults = {field.name: field.default for field in fields(Job) if field.default is not MISSING}
    return {**defaults, **read_config(path)}


def read_config(path: str | Path) -> dict[str, Any]:
    """config.yaml of the run directory ``path`` as it is.

    Plain data: what looks like an interpolation is a text, so that a run of somebody else cannot read the environment.
    Raises CheckpointError when it cannot be read.
    """
    file = Path(path) / "config.yaml"
    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise CheckpointError(f"{file} cannot be read ({type(error).__name__}); the run is damaged.") from error
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{file} holds no settings; the run is damaged.")
    return {str(key): value for key, value in content.items()}


def with_places(config: dict[str, Any], places: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its data at ``places`` (settings of ``data``), and under ``given_paths`` what was typed.

    The hash is made of the latter, so that it stays the same wherever the data are.
    """
    data = config["data"]
    given = {key: data.get(key) for key, place in places.items() if data.get(key) != place}
    if not given:
        return config
    earlier = config.get("given_paths") or {}
    return {**config, "data": {**data, **places}, "given_paths": {**given, **earlier}}


def _placed(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with absolute paths of data, which a run can be evaluated with from anywhere."""
    if not isinstance(config.get("data"), Mapping):
        return config
    return with_places(config, {key: absolute(value) for key, value in own_places(config["data"]).items()})


def absolute(place: Any) -> Any:
    """A path, or every path of a list, from the root."""
    if isinstance(place, list):
        return [absolute(each) for each in place]
    return str(Path.cwd() / Path(place).expanduser()) if isinstance(place, str) else place


def _changed(job: Job, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run with changes on resuming; raises ConfigError."""
    places = {key: absolute(changes[f"data.{key}"]) for key in PLACES if f"data.{key}" in changes}
    config = with_places(job.config, places)
    if "trainer.max_epochs" not in changes:
        return config
    epochs = checked(changes["trainer.max_epochs"], Count, "trainer.max_epochs")
    before = job.trainer.max_epochs
    if epochs <= before:
        raise ConfigError(f"trainer.max_epochs={epochs}: this run has {before} epochs; give a larger number to go on.")
    earlier = [*(job.earlier_max_epochs or []), before]
    return {**config, "trainer": {**config["trainer"], "max_epochs": epochs}, "earlier_max_epochs": earlier}
