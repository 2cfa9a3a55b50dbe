"""Optimisers with parameter groups for backbone and head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from scalarpath.optimizers.muon import Muon
from scalarpath.optimizers.soap import Soap
from scalarpath.runs.sections import OptimizerSettings


def build_optimizer(
    settings: OptimizerSettings,
    backbone: Iterable[nn.Parameter],
    head: Iterable[nn.Parameter],
    rates: Mapping[nn.Parameter, float] | None = None,
) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters; weight decay is inside the gradient with Adam, else apart from it.

    Only the backbone decays: the head starts at zero, where decay would hold it back. ``rates``: what the learning rate
    of a parameter is multiplied by, where that is not 1; those of one rate are a group.
    """
    groups: dict[tuple[str, float], dict[str, Any]] = {}
    for name, parameters, decay in (("backbone", backbone, settings.weight_decay), ("head", head, 0.0)):
        for p in parameters:
            if p.requires_grad:
                rate = (rates or {}).get(p, 1.0)
                new = {"params": [], "lr": settings.lr * rate, "weight_decay": decay, "name": name}
                groups.setdefault((name, rate), new)["params"].append(p)
    return _of_groups(settings, list(groups.values()))


def _of_groups(settings: OptimizerSettings, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    betas = (settings.beta1, settings.beta2)
    if settings.basis_interval is not None and settings.basis_max_size is not None:
        return Soap(groups, settings.lr, betas, interval=settings.basis_interval, max_size=settings.basis_max_size)
    if settings.kind == "muon":
        return Muon(groups, settings.lr, betas)
    if settings.kind == "schedule_free":
        from schedulefree import AdamWScheduleFree

        return AdamWScheduleFree(groups, settings.lr, betas)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.lr, betas=betas, amsgrad=settings.amsgrad, fused=True)
