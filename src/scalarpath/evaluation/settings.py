"""What an evaluation is told; ``conf/evaluate.yaml`` and ``conf/size/*.yaml`` explain every key.

Nothing heavy is imported before it is needed, so that a wrong setting is reported at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from omegaconf import DictConfig

from scalarpath.artifacts.ranges import refuse_empty_or_twice
from scalarpath.artifacts.registry import MEASURES, measure_settings
from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import WHOLE, Device, Text, Threads, read_settings
from scalarpath.runs.job import plain_config


@dataclass(frozen=True)
class EvaluationSettings:
    """conf/evaluate.yaml.

    artifact: names of the measures; settings: theirs by section, as the measures declare them.
    """

    run: Text | None
    trust: list[Text]
    calculator: Text | None
    calculator_options: dict[str, Any] | None
    artifact: list[str]
    material: Text | None
    structure: Text | None
    reference: Text | None
    reference_options: dict[str, Any] | None
    dtypes: list[Literal["float32", "float64"]]
    device: Device
    keep_trajectories: bool
    output_dir: Text | None
    settings: dict[str, Any]
    threads: Threads

    def __post_init__(self) -> None:
        if (self.run is None) == (self.calculator is None):
            raise ConfigError("give either run=<directory of a finished run> or calculator=<package.module:factory>.")
        if self.material is not None and self.structure is not None:
            raise ConfigError("material= and structure= are both given; measure on the one or on the other.")
        if self.calculator is not None and self.material is None and self.structure is None:
            raise ConfigError(
                "calculator= needs material= or structure=, for example material=si or structure=crystal.cif: what it "
                "is to be measured on."
            )
        for name in ("calculator", "reference"):
            if getattr(self, name) is None and getattr(self, f"{name}_options") is not None:
                raise ConfigError(f"{name}_options is given without {name}=; add it or leave the options out.")
        if self.calculator is not None and not self.artifact:
            raise ConfigError("artifact=null leaves nothing to do for calculator=; name a measure or all.")
        refuse_empty_or_twice("dtypes", self.dtypes)

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> EvaluationSettings:
        """Read a composed conf/evaluate.yaml; raises ConfigError."""
        config = plain_config(cfg, without=())
        wanted = config.get("artifact")
        if isinstance(wanted, str):
            wanted = list(MEASURES) if wanted == "all" else [wanted]
        if wanted is not None:
            refuse_empty_or_twice("artifact", wanted)
        found = read_settings(cls, {**config, "artifact": wanted or []}, WHOLE)
        return replace(found, settings=measure_settings(found.settings, found.artifact) if found.artifact else {})
