"""What a benchmark names: files of the groups of conf. No torch is imported here."""

from __future__ import annotations

from typing import Any, cast

from hydra import compose
from hydra.errors import HydraException
from omegaconf import OmegaConf

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.settings import nearest
from scalarpath.cost.settings import BenchmarkSettings


def arm_of(head: str) -> dict[str, Any]:
    """The configuration of a head of conf/head; raises ConfigError for an unknown one."""
    return named_config("head", head)


def named_config(group: str, name: str) -> dict[str, Any]:
    """The configuration ``name`` of a group of conf; raises ConfigError for an unknown one."""
    try:
        return cast("dict[str, Any]", OmegaConf.to_container(compose(f"{group}/{name}")[group]))
    except HydraException as error:
        known = sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))
        raise ConfigError(f"{group}s: '{name}' is unknown{nearest(name, known)}; use {', '.join(known)}.") from error


def check_names(settings: BenchmarkSettings) -> None:
    """Raise ConfigError for a name among heads and optimizers that no file has."""
    for group, names in (("head", [*settings.heads, *settings.gpu.heads]), ("optimizer", settings.optimizers)):
        for name in names:
            named_config(group, name)
