"""Which measures there are and where they live. A measure is imported when it is used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from omegaconf import OmegaConf

from scalarpath.artifacts.measure import Measure
from scalarpath.core.errors import ConfigError
from scalarpath.core.imports import class_named
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import choose, read_settings, refuse_unknown

_HERE = "scalarpath.artifacts.measures"
MEASURES: dict[str, tuple[str, ...]] = {
    "repulsion": (f"{_HERE}.repulsion:Repulsion",),
    "phonons": (f"{_HERE}.phonons:Phonons", f"{_HERE}.harmonic:Harmonic"),
    "elastic": (f"{_HERE}.elastic:Elastic", f"{_HERE}.elastic_tensor:ElasticTensor"),
    "smoothness": (f"{_HERE}.smoothness:Smoothness",),
    "nve": (f"{_HERE}.nve:EnergyConservation",),
    "rdf": (f"{_HERE}.rdf:LiquidStructure",),
}
"""``package.module:Class`` by name; of several, that one is used which is for the kind of material."""


def measures(name: str) -> list[Measure[Any]]:
    """The measures of a name of ``MEASURES``, or the one of another package that ``package.module:Class`` names.

    Raises ConfigError where there is none.
    """
    if ":" not in name:
        choose(name, MEASURES, "artifact")
    return [_load(location) for location in MEASURES.get(name, (name,))]


def all_measures() -> list[Measure[Any]]:
    """Those of the registry."""
    return [measure for name in MEASURES for measure in measures(name)]


def preset(size: str) -> dict[str, Any]:
    """The sections of conf/size/<size>.yaml. Raises ConfigError where there is no such file."""
    file = CONF_DIR / "size" / f"{size}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml")))
        raise ConfigError(f"size = {size} is unknown; use one of: {known}.")
    sections = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    return {str(name): section for name, section in sections.items()}  # type: ignore[union-attr]


def measure_settings(sections: Mapping[str, Any], names: Collection[str] = tuple(MEASURES)) -> dict[str, Any]:
    """Settings of the named measures, by section, from the sections of ``settings``.

    Raises ConfigError for a section that no measure has, and for what is missing, unknown or out of range.
    """
    chosen = [measure for name in names for measure in measures(name)]
    refuse_unknown(sections, {measure.section for measure in [*all_measures(), *chosen]}, "settings")
    found = {}
    for measure in chosen:
        if measure.section not in sections:
            raise ConfigError(f"settings lacks the group '{measure.section}'; choose size=smoke, short or full.")
        where = f"settings.{measure.section}"
        found[measure.section] = read_settings(measure.settings, sections[measure.section], where)
    return found


def _load(location: str) -> Measure[Any]:
    return class_named(location, {}, Measure, "artifact")()  # type: ignore[type-abstract]
