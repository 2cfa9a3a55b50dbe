"""Trainings that are cut off, and the comparison of what is left with a whole one."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from scalarpath.training import fit as fit_module

TIMES = ("time/data_ms", "time/data_share", "time/step_ms", "time/epoch_s")


class CutOffError(Exception):
    """Stands for the machine going down."""


class CutOffAt(pl.Callback):
    """Goes down in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            raise CutOffError


def with_extra_callback(monkeypatch: pytest.MonkeyPatch, extra: pl.Callback) -> None:
    build = fit_module._callbacks
    monkeypatch.setattr(fit_module, "_callbacks", lambda *args: {"extra": extra, **build(*args)})


def assert_same(a, b, where: str = "") -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for k, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{k}")
    else:
        assert a == b, where
