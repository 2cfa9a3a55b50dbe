"""What an evaluation is told; ``conf/evaluate.yaml`` and ``conf/size/*.yaml`` explain every key.

Nothing heavy is imported before it is needed, so that a wrong setting is reported at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from omegaconf import DictConfig, OmegaConf

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import WHOLE, Count, Positive, read_settings, refuse_unknown
from scalarpath.runs.job import plain_config

if TYPE_CHECKING:
    from scalarpath.artifacts.suite import SuiteSettings

T = TypeVar("T")

MEASURE_NAMES = ("repulsion", "phonons", "elastic", "smoothness", "nve", "rdf")
_OF_THE_BENCH = ("material", "min_train_distance_A")  # known once there is something to measure


@dataclass(frozen=True)
class NveCell:
    """Keys of ``settings.nve`` beside those of NveSettings."""

    min_cell_A: Positive


@dataclass(frozen=True)
class LiquidCell:
    """Keys of ``settings.rdf`` beside or instead of those of RdfSettings."""

    min_cell_A: Positive
    temperature_K: Positive | None


@dataclass(frozen=True)
class EvaluationSettings:
    """conf/evaluate.yaml; ``artifact`` holds the names of the measures."""

    run: str | None
    calculator: str | None
    calculator_options: dict[str, Any] | None
    artifact: list[Literal["repulsion", "phonons", "elastic", "smoothness", "nve", "rdf"]]
    material: str | None
    dtypes: list[Literal["float32", "float64"]]
    device: str
    keep_trajectories: bool
    output_dir: str | None
    settings: dict[str, Any]
    threads: Count

    def __post_init__(self) -> None:
        if (self.run is None) == (self.calculator is None):
            raise ConfigError("give either run=<directory of a finished run> or calculator=<package.module:factory>.")
        if self.calculator is not None and self.material is None:
            raise ConfigError("calculator= needs material=, for example material=si: what it is to be measured on.")
        if self.calculator is not None and not self.artifact:
            raise ConfigError("artifact=null leaves nothing to do for calculator=; name a measure or all.")
        if not self.dtypes:
            raise ConfigError("dtypes is empty; name float64, float32 or both.")

    @classmethod
    def from_hydra(cls, cfg: DictConfig) -> EvaluationSettings:
        """Read a composed conf/evaluate.yaml; raises ConfigError."""
        config = plain_config(cfg)
        wanted = config.get("artifact")
        if isinstance(wanted, str):
            wanted = list(MEASURE_NAMES) if wanted == "all" else [wanted]
        found = read_settings(cls, {**config, "artifact": wanted or []}, WHOLE)
        if found.artifact:
            suite_settings(found.settings)
        return found


def preset(size: str) -> dict[str, Any]:
    """The sections of conf/size/<size>.yaml; ConfigError where there is no such file."""
    file = CONF_DIR / "size" / f"{size}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml")))
        raise ConfigError(f"size = {size} is unknown; use one of: {known}.")
    sections = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    return {str(name): section for name, section in sections.items()}  # type: ignore[union-attr]


def suite_settings(sections: Mapping[str, Any]) -> SuiteSettings:
    """Settings of all measures from the sections of ``settings``; raises ConfigError for what is unknown or missing."""
    from scalarpath.artifacts.measures.elastic import ElasticSettings
    from scalarpath.artifacts.measures.harmonic import HarmonicSettings
    from scalarpath.artifacts.measures.nve import NveSettings
    from scalarpath.artifacts.measures.phonons import PhononSettings
    from scalarpath.artifacts.measures.rdf import RdfSettings
    from scalarpath.artifacts.measures.repulsion import RepulsionSettings
    from scalarpath.artifacts.measures.smoothness import SmoothnessSettings
    from scalarpath.artifacts.suite import SuiteSettings

    refuse_unknown(sections, {"repulsion", "phonons", "harmonic", "elastic", "smoothness", "nve", "rdf"}, "settings")
    nve, nve_cell = _without(NveCell, sections, "nve")
    rdf, liquid = _without(LiquidCell, sections, "rdf")
    return SuiteSettings(
        repulsion=_section(RepulsionSettings, sections, "repulsion"),
        phonons=_section(PhononSettings, sections, "phonons"),
        harmonic=_section(HarmonicSettings, sections, "harmonic"),
        elastic=_section(ElasticSettings, sections, "elastic"),
        smoothness=_section(SmoothnessSettings, sections, "smoothness"),
        nve=_section(NveSettings, {"nve": nve}, "nve"),
        rdf=_section(RdfSettings, {"rdf": {"temperature_K": RdfSettings().temperature_K, **rdf}}, "rdf"),
        nve_cell_A=nve_cell.min_cell_A,
        rdf_cell_A=liquid.min_cell_A,
        liquid_temperature_K=liquid.temperature_K,
    )


def _without(kind: type[T], sections: Mapping[str, Any], name: str) -> tuple[dict[str, Any], T]:
    """A section without the keys of ``kind``, and these."""
    section = sections.get(name)
    if not isinstance(section, Mapping):
        raise ConfigError(f"settings lacks the group '{name}'; choose size=smoke or size=full.")
    own = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    rest = {key: value for key, value in section.items() if key not in own}
    return rest, read_settings(kind, {key: section[key] for key in own & set(section)}, f"settings.{name}")


def _section(kind: type[T], sections: Mapping[str, Any], name: str) -> T:
    section = sections.get(name)
    if not isinstance(section, Mapping):
        raise ConfigError(f"settings lacks the group '{name}'; choose size=smoke or size=full.")
    known = {f.name: f.default for f in fields(kind)}  # type: ignore[arg-type]
    of_the_bench = {key: known[key] for key in _OF_THE_BENCH if key in known and known[key] is not MISSING}
    refuse_unknown(section, set(known) - set(of_the_bench), f"settings.{name}")
    return read_settings(kind, {**of_the_bench, **section}, f"settings.{name}")
