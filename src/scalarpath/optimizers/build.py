"""Optimisers with parameter groups for backbone and head."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from scalarpath.optimizers.muon import Muon
from scalarpath.optimizers.soap import Soap
from scalarpath.runs.sections import OptimizerSettings


def build_optimizer(
    settings: OptimizerSettings, backbone: Iterable[nn.Parameter], head: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters; weight decay is inside the gradient with Adam, else apart from it.

    Only the backbone decays: the head starts at zero, where decay would hold it back.
    """
    groups = [
        {"params": [p for p in backbone if p.requires_grad], "weight_decay": settings.weight_decay, "name": "backbone"},
        {"params": [p for p in head if p.requires_grad], "weight_decay": 0.0, "name": "head"},
    ]
    groups = [group for group in groups if group["params"]]
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
