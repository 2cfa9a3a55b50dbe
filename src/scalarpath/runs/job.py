"""What a training job is told: one dataclass per section of the configuration, checked before any work begins.

Nothing heavy is imported here, so that a wrong setting is reported at once. ``conf/`` explains every key. The
options of backbone and head are checked by their constructors (``potential.check_settings``), before the data are read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.core.metrics import check_monitor, logged_metrics
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.settings import (
    WHOLE,
    Count,
    Cutoff,
    Fraction,
    NonNegative,
    Positive,
    Range,
    Seed,
    Text,
    Threads,
    Whole,
    checked,
    read_settings,
)
from scalarpath.data.config import PLACES, DataConfig, own_places, with_defaults

NOT_SETTINGS = ("resume", "trust")  # of conf/train.yaml: what to do with a run that has its settings already
CHANGED_ON_RESUME = ("trainer.max_epochs", *(f"data.{key}" for key in PLACES))


@dataclass(frozen=True)
class HuberDelta:
    """Where the Huber loss turns from quadratic to linear: eV/atom, eV/Å, eV/Å^3."""

    energy: Positive
    forces: Positive
    stress: Positive


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the quantities in the loss."""

    energy: NonNegative
    forces: NonNegative
    stress: NonNegative


@dataclass(frozen=True, kw_only=True)
class StageTwo(LossWeights):
    """Weights that replace the first ones once ``start`` (fraction of all epochs) has passed."""

    start: Fraction


@dataclass(frozen=True, kw_only=True)
class LossSettings(LossWeights):
    """The section ``loss``."""

    kind: Literal["mse", "mae", "huber"]
    huber_delta: HuberDelta | None
    stage_two: StageTwo | None

    def __post_init__(self) -> None:
        for stage, name in ((self, "loss"), (self.stage_two, "loss.stage_two")):
            if stage is not None and not any(getattr(stage, prop) > 0 for prop in QUANTITIES):
                raise ConfigError(f"{name} weighs nothing; give energy, forces or stress a weight above 0.")
        if (self.kind == "huber") != (self.huber_delta is not None):
            raise ConfigError("loss.huber_delta (energy, forces, stress) belongs to loss=huber and to no other loss.")

    @property
    def required(self) -> set[str]:
        """Properties that carry weight in any stage, so that the data must have labels of them."""
        stages = [self] if self.stage_two is None else [self, self.stage_two]
        return {prop for prop in QUANTITIES if any(getattr(stage, prop) > 0 for stage in stages)}


@dataclass(frozen=True)
class OptimizerSettings:
    """The section ``optimizer``."""

    kind: Literal["adam", "adamw"]
    amsgrad: bool
    lr: Positive
    weight_decay: NonNegative
    beta1: Annotated[float, Range(at_least=0.0, below=1.0)]
    beta2: Annotated[float, Range(at_least=0.0, below=1.0)]


@dataclass(frozen=True)
class Plateau:
    """Multiply the rate by ``factor`` whenever ``monitor`` has not improved for more than ``patience`` epochs."""

    monitor: str
    factor: Fraction
    patience: Whole
    threshold: Annotated[float, Range(at_least=0.0, below=1.0)]
    min_factor: Annotated[float, Range(at_least=0.0, below=1.0)]


@dataclass(frozen=True)
class SchedulerSettings:
    """The section ``scheduler``; what belongs to another kind is null."""

    kind: Literal["constant", "cosine", "plateau"]
    plateau: Plateau | None
    warmup_steps: Whole
    final_factor: Annotated[float, Range(at_least=0.0, at_most=1.0)] | None

    def __post_init__(self) -> None:
        if (self.kind == "cosine") != (self.final_factor is not None):
            raise ConfigError("scheduler.final_factor belongs to scheduler=cosine and to no other schedule.")
        if (self.kind == "plateau") != (self.plateau is not None):
            raise ConfigError("scheduler.plateau (monitor, factor, patience, ...) belongs to scheduler=plateau only.")


@dataclass(frozen=True)
class TrainerSettings:
    """The section ``trainer``."""

    accelerator: Literal["cpu", "gpu", "auto"]
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"]
    deterministic: bool
    threads: Threads | None
    devices: Annotated[int, Range(at_least=1, at_most=1024)]
    num_nodes: Annotated[int, Range(at_least=1, at_most=100_000)]
    max_epochs: Count
    max_time: Positive | None
    gradient_clip: Positive | None
    accumulate_batches: Count


@dataclass(frozen=True)
class EmaSettings:
    """The section ``callbacks.ema``."""

    decay: Annotated[float, Range(at_least=0.0, below=1.0)]


@dataclass(frozen=True)
class CheckpointSettings:
    """The section ``callbacks.checkpoint``: the metric whose smallest value marks the best epoch."""

    monitor: str


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """The section ``callbacks.early_stopping``."""

    monitor: str
    patience: Count
    min_delta: NonNegative


@dataclass(frozen=True)
class StepTimerSettings:
    """The section ``callbacks.step_timer``: steps left out at the start of every launch."""

    warmup_steps: Whole


@dataclass(frozen=True)
class ProgressSettings:
    """The section ``callbacks.progress``; a bar becomes lines where the output is not a terminal."""

    style: Literal["bar", "lines", "none"]


@dataclass(frozen=True)
class CallbackSettings:
    """The section ``callbacks``; null switches a callback off."""

    ema: EmaSettings | None
    checkpoint: CheckpointSettings
    early_stopping: EarlyStoppingSettings | None
    step_timer: StepTimerSettings | None
    progress: ProgressSettings


@dataclass(frozen=True)
class WandbSettings:
    """The section ``logger.wandb``."""

    project: Text
    entity: Text | None
    group: Text | None
    name: Text | None
    tags: list[Text]
    mode: Literal["auto", "online", "offline"]


@dataclass(frozen=True)
class LoggerSettings:
    """The section ``logger``."""

    kind: Literal["csv", "wandb", "tensorboard"]
    wandb: WandbSettings | None

    def __post_init__(self) -> None:
        if (self.kind == "wandb") != (self.wandb is not None):
            raise ConfigError("logger.wandb (project, group, tags, ...) belongs to logger=wandb and to no other.")
        if self.kind == "tensorboard" and find_spec("tensorboard") is None:
            raise ConfigError("logger=tensorboard needs the package tensorboard; install scalarpath[tensorboard].")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training job; ``config`` is the whole plain configuration it was read from.

    In it the paths of data are absolute, and ``given_paths`` has those that were typed otherwise. A run that was given
    more epochs has its earlier numbers of epochs in ``earlier_max_epochs``.

    A setting with a default here is one that the oldest run directories do not have: they were made with that value.
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
    compile: bool = False
    kernels: Literal["cuequivariance"] | None = None
    artifacts: Literal["smoke", "full"] | None = None
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
        return cls.read(_placed(plain_config(cfg))) if resume is None else cls.of_run(resume, changes)

    @classmethod
    def of_run(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> Job:
        """The job that made the run directory ``path``.

        ``changes``: settings of CHANGED_ON_RESUME, a larger number of epochs or where the same data are now. Raises
        CheckpointError where there is no run, ConfigError for changes that cannot be.
        """
        file = Path(path) / "config.yaml"
        if not file.is_file():
            raise CheckpointError(f"resume={path}: there is no run in this directory (no config.yaml).")
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
