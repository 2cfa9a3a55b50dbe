"""What an evaluation is told; ``conf/evaluate.yaml`` and ``conf/size/*.yaml`` explain every key.

Nothing heavy is imported before it is needed, so that a wrong setting is reported at once.
"""

from __future__ import annotations

import glob
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from scalarpath.artifacts.ranges import refuse_empty_or_twice
from scalarpath.artifacts.registry import MEASURES, measure_settings
from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.core.settings import WHOLE, Device, Text, Threads, checked, read_settings, refuse_unknown
from scalarpath.data.config import PLACES, LabelSettings
from scalarpath.runs.job import plain_config
from scalarpath.runs.run_directory import RunDirectory

OF_FRAMES = ("index", *(field.name for field in fields(LabelSettings)), "on_suspicious")
"""Settings of ``data`` that say how the labels of ``frames`` are read; the others say where the run's data are."""


@dataclass(frozen=True)
class EvaluationSettings:
    """conf/evaluate.yaml.

    artifact: names of the measures; settings: theirs by section, as the measures declare them. data: the settings that
    differ from those of the run.
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
    frames: Text | None
    committee: list[Text] | None
    explain: bool
    beside: Text | None
    data: dict[str, Any]
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
        if self.run is None and (self.frames is not None or self.committee is not None or self.data):
            raise ConfigError("frames=, committee= and data.* belong to run=.")
        if self.frames is not None and self.committee is not None:
            raise ConfigError("committee= is measured on the test frames of run=; leave frames= out, or committee=.")
        refuse_unknown(self.data, (*PLACES, *OF_FRAMES), "data")
        of_frames = [key for key in self.data if key in OF_FRAMES]
        if self.frames is None and of_frames:
            raise ConfigError(f"data.{of_frames[0]} belongs to frames=; the labels of a run are read as in training.")
        self._check_explain()
        on = [name for name in ("material", "structure", "reference") if getattr(self, name) is not None]
        for name in ("frames", "committee"):
            if getattr(self, name) is not None and on:
                raise ConfigError(f"{name}= measures errors, and no artifacts; leave {on[0]}= out, or {name}=.")
        if self.committee is not None:
            refuse_empty_or_twice("committee", self.committee)
        if self.frames is not None and len(of_frames) < len(self.data):
            raise ConfigError("frames= reads no data of the run; leave data.path= and the like out.")
        refuse_empty_or_twice("dtypes", self.dtypes)

    def _check_explain(self) -> None:
        if self.beside is not None and not self.explain:
            raise ConfigError("beside= belongs to explain=true: the run whose energies are drawn beside those of run=.")
        if self.explain and self.run is None:
            raise ConfigError("explain=true belongs to run=: it shows what the head of a finished run has learned.")
        others = [name for name in ("frames", "reference") if getattr(self, name) is not None]
        if self.explain and others:
            raise ConfigError(f"explain=true has no use for {others[0]}=; leave it out, or evaluate without explain=.")

    @property
    def changes(self) -> dict[str, Any]:
        """Where the data of the run are now, as ``Job.of_run`` takes it."""
        return {f"data.{key}": place for key, place in self.data.items() if key in PLACES}

    def each_run(self) -> tuple[list[EvaluationSettings], list[str]]:
        """The same for every finished run that ``run`` names, which may be a pattern, and why others are left out.

        Raises ConfigError where a pattern matches no finished run, and for settings that belong to one run;
        CheckpointError where a run that is named itself is not finished.
        """
        if self.run is None:
            return [self], []
        if Path(self.run).exists() or not glob.has_magic(self.run):
            RunDirectory.finished(Path(self.run))
            return [self], []
        found, left_out = [], []
        for path in sorted(Path(match) for match in glob.glob(self.run)):
            if (path / "config.yaml").is_file():
                try:
                    RunDirectory.finished(path)
                    found.append(replace(self, run=str(path)))
                except CheckpointError as error:
                    left_out.append(str(error))
        if not found:
            raise ConfigError(f"run={self.run}: no finished run matches this pattern (it is relative to {Path.cwd()}).")
        of_one = [name for name in ("committee", "beside", "output_dir") if getattr(self, name) is not None]
        if of_one and len(found) > 1:
            raise ConfigError(f"{of_one[0]}= belongs to one run, and {len(found)} match run={self.run}; name one.")
        return found, left_out

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> EvaluationSettings:
        """Read a composed conf/evaluate.yaml; raises ConfigError."""
        config = plain_config(cfg, without=())
        wanted = checked(config.get("artifact"), Text | list[Text] | None, "artifact")
        if isinstance(wanted, str):
            wanted = list(MEASURES) if wanted == "all" else [wanted]
        if wanted is not None:
            refuse_empty_or_twice("artifact", wanted)
        data = config.get("data")
        if isinstance(data, dict):
            data = {key: value for key, value in data.items() if value is not None}
        found = read_settings(cls, {**config, "artifact": wanted or [], "data": data}, WHOLE)
        return replace(found, settings=measure_settings(found.settings, found.artifact) if found.artifact else {})
