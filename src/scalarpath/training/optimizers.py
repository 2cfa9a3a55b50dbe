"""Optimisers: Adam and AdamW with parameter groups for backbone and head."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from scalarpath.runs.sections import OptimizerSettings


def build_optimizer(
    settings: OptimizerSettings, backbone: Iterable[nn.Parameter], head: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Adam (decay inside the gradient) or AdamW (decoupled) over all trainable parameters.

    Only the backbone decays: the head starts at zero, where decay would hold it back.
    """
    groups = [
        {"params": [p for p in backbone if p.requires_grad], "weight_decay": settings.weight_decay, "name": "backbone"},
        {"params": [p for p in head if p.requires_grad], "weight_decay": 0.0, "name": "head"},
    ]
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        amsgrad=settings.amsgrad,
        fused=True,
    )
