"""The sections of a training job's configuration: their types, ranges, and what belongs together.

``conf/`` explains every key. Nothing heavy is imported here, so that a wrong setting is reported at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Literal

from scalarpath.core.errors import ConfigError
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.settings import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    Range,
    Text,
    Threads,
    Whole,
)


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
    """The section ``optimizer``; ``basis_...`` belong to SOAP alone, ``amsgrad`` to Adam and AdamW."""

    kind: Literal["adam", "adamw", "soap", "muon", "schedule_free"]
    amsgrad: bool
    lr: Positive
    weight_decay: NonNegative
    beta1: Annotated[float, Range(at_least=0.0, below=1.0)]
    beta2: Annotated[float, Range(at_least=0.0, below=1.0)]
    basis_interval: Count | None = None
    basis_max_size: Count | None = None

    def __post_init__(self) -> None:
        of_soap = self.kind == "soap"
        if (self.basis_interval is not None) != of_soap or (self.basis_max_size is not None) != of_soap:
            raise ConfigError("optimizer.basis_interval and basis_max_size belong to optimizer=soap and to no other.")
        if self.amsgrad and self.kind not in ("adam", "adamw"):
            raise ConfigError(f"optimizer.amsgrad=true belongs to adam and adamw; {self.kind} keeps no largest moment.")
        if self.kind == "schedule_free" and self.beta1 == 0.0:
            raise ConfigError("optimizer.beta1 must be above 0 with optimizer=schedule_free, which divides by it.")
        if self.kind == "schedule_free" and find_spec("schedulefree") is None:
            raise ConfigError("optimizer=schedule_free needs schedulefree; install scalarpath[schedulefree].")


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

    kind: Literal["constant", "cosine", "plateau", "step"]
    plateau: Plateau | None
    warmup_steps: Whole
    final_factor: Annotated[float, Range(at_least=0.0, at_most=1.0)] | None
    start: Fraction | None = None

    def __post_init__(self) -> None:
        if (self.kind in ("cosine", "step")) != (self.final_factor is not None):
            raise ConfigError("scheduler.final_factor belongs to scheduler=cosine or step and to no other schedule.")
        if (self.kind == "step") != (self.start is not None):
            raise ConfigError("scheduler.start (fraction of all steps) belongs to scheduler=step and to no other.")
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
    gradient_clip: Positive | Literal["auto"] | None
    accumulate_batches: Count


@dataclass(frozen=True)
class EmaSettings:
    """The section ``callbacks.ema``."""

    decay: Annotated[float, Range(at_least=0.0, below=1.0)]


@dataclass(frozen=True)
class CheckpointSettings:
    """The section ``callbacks.checkpoint``: the metric that is smallest in the best epoch; the epoch that is tested."""

    monitor: str
    tested: Literal["best", "last"] = "best"


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
