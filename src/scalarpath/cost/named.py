"""What a benchmark names: files of the groups of conf. No torch is imported here."""

from __future__ import annotations

from typing import Any, cast

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from scalarpath.core.errors import ConfigError
from scalarpath.core.settings import nearest
from scalarpath.cost.settings import BenchmarkSettings


def arm_of(head: str) -> dict[str, Any]:
    """The configuration of a head of conf/head; raises ConfigError for an unknown one."""
    return named_config("head", head)


def named_config(group: str, name: str) -> dict[str, Any]:
    """The configuration ``name`` of a group of conf; raises ConfigError for an unknown one."""
    _check_name(group, name)
    return cast("dict[str, Any]", OmegaConf.to_container(compose(f"{group}/{name}")[group]))


def check_names(settings: BenchmarkSettings) -> None:
    """Raise ConfigError for a name of a backbone, head, data set or optimizer that no file has."""
    training = settings.training
    heads = (*settings.heads, *settings.gpu.heads, settings.profile.head, settings.scale.head, training.head)
    for group, names in (
        ("backbone", (*settings.accuracy.backbones, training.backbone)),
        ("head", heads),
        ("data", (training.data,)),
        ("optimizer", (*settings.optimizers, training.optimizer)),
    ):
        for name in names:
            _check_name(group, name)


def _check_name(group: str, name: str) -> None:
    known = GlobalHydra.instance().config_loader().get_group_options(group)  # in folders of the user too
    if name not in known:
        raise ConfigError(f"the {group} '{name}' is unknown{nearest(name, known)}; use {', '.join(known)}.")
